// Builds the CPU addon (node-gyp) and the JavaScript (tsc), each only where its sources are newer than its output.
// Usage: node scripts/build.mjs [--quiet] [--force]
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const quiet = process.argv.includes('--quiet')
const force = process.argv.includes('--force')

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}

function upToDate(output, inputs) {
  return existsSync(output) && statSync(output).mtimeMs >= Math.max(...inputs.map((input) => newest(join(root, input))))
}

function run(what, args) {
  const started = Date.now()
  process.stderr.write(`building ${what} … `)
  const done = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  if (done.status !== 0) {
    process.stderr.write(`failed\n${done.stdout}\n${done.stderr}\n`)
    process.exit(done.status || 1)
  }
  process.stderr.write(`${((Date.now() - started) / 1000).toFixed(0)} s\n`)
}

const bin = (name) => {
  const manifest = JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8'))
  const entry = typeof manifest.bin === 'string' ? manifest.bin : Object.values(manifest.bin)[0]
  return join(root, 'node_modules', name, entry)
}

const addon = join(root, 'build/Release/cpu.node')
if (force || !upToDate(addon, ['binding.gyp', 'native/core', 'native/cpu', 'native/addon'])) {
  // The headers that came with this Node where there are some: no download, so the build works offline.
  const prefix = dirname(dirname(realpathSync(process.execPath)))
  const headers =
    existsSync(join(prefix, 'include/node/node_api.h')) && existsSync(join(prefix, 'include/node/common.gypi'))
  run('the CPU addon', [bin('node-gyp'), 'rebuild', '-j', 'max', ...(headers ? [`--nodedir=${prefix}`] : [])])
} else if (!quiet) process.stderr.write('the CPU addon is up to date\n')

if (force || !upToDate(join(root, 'dist/index.js'), ['src', 'tsconfig.json'])) {
  run('the TypeScript', [bin('typescript'), '-p', 'tsconfig.json'])
} else if (!quiet) process.stderr.write('dist is up to date\n')
