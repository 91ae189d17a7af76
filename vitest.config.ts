import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// Test files by what they need: `.test.ts` nothing, `.db.test.ts` the embedded database (some seconds
// of its own), `.pg.test.ts` and `.neon.test.ts` a PostgreSQL server, `.dns.test.ts` a DNS server, `.slow.test.ts` time,
// `.workers.test.ts` workerd, `test/e2e/` whole processes.
const unit = {
  test: {
    name: 'unit',
    include: [
      'shared/**/*.test.ts',
      'cp/**/*.test.ts',
      'node-dp/**/*.test.ts',
      'infra/**/*.test.ts',
      'test/chaos/**/*.test.ts',
      'test/compat/**/*.test.ts',
      'test/interop/**/*.test.ts',
      'test/simulation/**/*.test.ts',
      'test/mutants/**/*.test.ts',
    ],
    exclude: ['pg', 'neon', 'dns', 'db', 'workers', 'slow'].map((need) => `**/*.${need}.test.ts`),
    environment: 'node',
    testTimeout: 20_000,
  },
};

const embedded = {
  test: {
    name: 'embedded',
    include: ['cp/**/*.db.test.ts', 'test/simulation/**/*.db.test.ts'],
    environment: 'node',
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
};

const servers = {
  test: {
    name: 'servers',
    include: ['pg', 'neon', 'dns', 'slow'].map((need) => `**/*.${need}.test.ts`),
    exclude: ['node_modules/**'],
    environment: 'node',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
};

const whole = {
  test: {
    name: 'whole',
    include: ['test/conformance/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    exclude: ['**/*.workers.test.ts'],
    environment: 'node',
    testTimeout: 60_000,
    hookTimeout: 90_000,
    fileParallelism: false,
  },
};

const tidy = {
  test: { name: 'tidy', include: ['test/tidy/**/*.test.ts'], environment: 'node' },
};

// The workers project starts workerd; it stands in a file of its own.
const workers = existsSync(new URL('./vitest.workers.config.ts', import.meta.url))
  ? ['./vitest.workers.config.ts']
  : [];

export default defineConfig({
  test: {
    projects: [unit, embedded, servers, whole, tidy, ...workers],
  },
});
