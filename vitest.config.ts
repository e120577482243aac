import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/setup.ts'],
    // A process per file: each has its own device, and a crash in native code is told with the file's name.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // No data set that happens to be installed on the machine.
    env: { LANGEVIN_DATA: '', XDG_CACHE_HOME: '/nonexistent' },
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
