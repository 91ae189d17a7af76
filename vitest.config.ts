import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// Test files by what they need: `.test.ts` nothing, `.pg.test.ts` a PostgreSQL server,
// `.workers.test.ts` workerd, `test/e2e/` whole processes.
const unit = {
  test: {
    name: 'unit',
    include: [
      'shared/**/*.test.ts',
      'cp/**/*.test.ts',
      'node-dp/**/*.test.ts',
      'infra/**/*.test.ts',
      'test/compat/**/*.test.ts',
    ],
    exclude: ['**/*.pg.test.ts', '**/*.neon.test.ts', '**/*.workers.test.ts', '**/*.slow.test.ts'],
    environment: 'node',
    testTimeout: 20_000,
  },
};

const servers = {
  test: {
    name: 'servers',
    include: ['**/*.pg.test.ts', '**/*.neon.test.ts', '**/*.slow.test.ts'],
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
    projects: [unit, servers, whole, tidy, ...workers],
  },
});
