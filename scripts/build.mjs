// Builds the CPU addon (node-gyp) and the JavaScript (tsc), each only where its sources are newer than its output.
// Usage: node scripts/build.mjs [--quiet] [--force]
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, utimesSync } from 'node:fs'
import { createRequire } from 'node:module'
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

function run(what, ...commands) {
  const started = Date.now()
  process.stderr.write(`building ${what} … `)
  for (const args of commands) {
    const done = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 })
    if (done.status !== 0) {
      process.stderr.write(`failed\n${done.stdout}\n${done.stderr}\n`)
      process.exit(done.status || 1)
    }
  }
  process.stderr.write(`${((Date.now() - started) / 1000).toFixed(0)} s\n`)
}

/** The program of a build tool, which is this package's devDependency or installed beside it. */
const bin = (name) => {
  let manifest
  try {
    manifest = createRequire(import.meta.url).resolve(`${name}/package.json`)
  } catch {
    process.stderr.write(
      `build: ${name} is not installed. In a clone run npm ci; for an installed langevin run\n` +
        '  npm install --no-save node-gyp@12 node-addon-api@8 && node node_modules/langevin/scripts/build.mjs\n',
    )
    process.exit(1)
  }
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8'))
  return join(dirname(manifest), typeof bin === 'string' ? bin : Object.values(bin)[0])
}

const addon = join(root, 'build/Release/cpu.node')
if (force || !upToDate(addon, ['binding.gyp', 'native/core', 'native/cpu', 'native/addon'])) {
  // The headers that came with this Node where there are some: no download, so the build works offline.
  const prefix = dirname(dirname(realpathSync(process.execPath)))
  const headers =
    existsSync(join(prefix, 'include/node/node_api.h')) && existsSync(join(prefix, 'include/node/common.gypi'))
  const nodedir = headers ? [`--nodedir=${prefix}`] : []
  if (force) rmSync(join(root, 'build'), { recursive: true, force: true })
  // Not `rebuild`: make compiles only what changed.
  run('the CPU addon', [bin('node-gyp'), 'configure', ...nodedir], [bin('node-gyp'), 'build', '-j', 'max', ...nodedir])
  utimesSync(addon, new Date(), new Date()) // make leaves it alone where only a comment changed
} else if (!quiet) process.stderr.write('the CPU addon is up to date\n')

if (!existsSync(join(root, 'src'))) {
  // An installed package: dist/ came with it.
} else if (force || !upToDate(join(root, 'dist/index.js'), ['src', 'tsconfig.json'])) {
  run('the TypeScript', [bin('typescript'), '-p', 'tsconfig.json'])
} else if (!quiet) process.stderr.write('dist is up to date\n')
