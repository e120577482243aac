// Checks that the native sources are formatted as .clang-format says (version 14, Debian 12's).
// Usage: node scripts/lint-native.mjs [--write]
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))
const files = ['native', 'bench/native']
  .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
  .filter((name) => /\.(cc|h|cu|cuh)$/.test(name))
  .sort()

const write = process.argv.includes('--write')
const done = spawnSync('clang-format', [...(write ? ['-i'] : ['--dry-run', '-Werror']), ...files], { stdio: 'inherit' })
if (done.error?.code === 'ENOENT') {
  process.stderr.write('lint-native: clang-format is not installed: apt-get install clang-format (or brew, pip)\n')
  process.exit(1)
}
if (done.status !== 0) process.stderr.write('lint-native: npm run format puts it right\n')
else process.stderr.write(`lint-native: ${files.length} files ${write ? 'formatted' : 'are formatted'}\n`)
process.exit(done.status ?? 1)
