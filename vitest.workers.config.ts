import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

// Tests that run inside workerd, with the bindings of wrangler.toml. No control plane: what a test
// puts into the hub and KV is all there is.
export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: './wrangler.toml' },
      miniflare: {
        cf: false,
        bindings: {
          HEADGATE_DEPLOYMENT: 'test',
          HEADGATE_CONTROL_PLANES: '',
          HEADGATE_LOG_LEVEL: 'error',
          HEADGATE_PROXY_ACCESS_LOG: 'off',
          HEADGATE_STATUS_TOKEN: 'status-token',
        },
      },
    }),
  ],
  test: {
    name: 'workers',
    include: ['edge-dp/**/*.workers.test.ts', 'test/conformance/**/*.workers.test.ts'],
    globalSetup: ['./test/support/workers-setup.ts'],
    testTimeout: 20_000,
  },
});
