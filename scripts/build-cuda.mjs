// Builds the CUDA addon, build/Release/cuda.node, with CMake and nvcc (native/cuda/CMakeLists.txt).
// Usage: node scripts/build-cuda.mjs [--architectures 80-real,90a-real,80-virtual] [--jobs N]
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values: options } = parseArgs({
  options: {
    architectures: { type: 'string' },
    jobs: { type: 'string', default: String(Math.max(1, Math.min(8, availableParallelism()))) },
  },
})

function fail(problem, fix) {
  process.stderr.write(`build:cuda: ${problem}\n  ${fix}\n`)
  return process.exit(1)
}

/** nvcc, on the path or where the toolkit puts it. */
function findNvcc() {
  const places = ['nvcc', join(process.env.CUDA_HOME ?? '/usr/local/cuda', 'bin/nvcc')]
  return places.find((nvcc) => spawnSync(nvcc, ['--version']).status === 0)
}

/** A file of a build tool, which is this package's devDependency or installed beside it. */
function installed(path) {
  try {
    return createRequire(import.meta.url).resolve(path)
  } catch {
    return fail(
      `${path.split('/')[0]} is not installed`,
      'in a clone run npm ci; for an installed langevin: npm install --no-save node-gyp@12 node-addon-api@8 && ' +
        'node node_modules/langevin/scripts/build-cuda.mjs',
    )
  }
}

/** include/node of this Node: beside it, or as node-gyp keeps it. */
function findHeaders() {
  const prefix = process.env.npm_config_nodedir ?? dirname(dirname(realpathSync(process.execPath)))
  const cached = join(homedir(), '.cache/node-gyp', process.versions.node)
  const places = [prefix, cached].map((path) => join(path, 'include/node'))
  const find = () => places.find((path) => existsSync(join(path, 'node_api.h')))
  if (!find()) {
    const nodeGyp = installed('node-gyp/bin/node-gyp.js')
    spawnSync(process.execPath, [nodeGyp, 'install', '--ensure'], { stdio: 'inherit' })
  }
  return find()
}

function run(...args) {
  const done = spawnSync('cmake', args, { cwd: root, stdio: 'inherit' })
  if (done.status !== 0) process.exit(done.status || 1)
}

const nvcc = findNvcc()
if (!nvcc) fail('nvcc is not installed', 'install the CUDA toolkit (12.8 or later), or set CUDA_HOME')
if (spawnSync('cmake', ['--version']).status !== 0) fail('cmake is not installed', 'install CMake 3.20 or later')
const headers = findHeaders()
if (!headers) fail('the headers of Node are not there', 'give their folder as npm_config_nodedir=/path/to/node')

const addonApi = dirname(installed('node-addon-api/package.json'))
run(
  ...['-S', 'native/cuda', '-B', 'build/cuda', `-DCMAKE_CUDA_COMPILER=${nvcc}`],
  ...[`-DNODE_HEADERS=${headers}`, `-DNODE_ADDON_API=${addonApi}`],
  ...(options.architectures ? [`-DLANGEVIN_ARCHITECTURES=${options.architectures.replaceAll(',', ';')}`] : []),
)
run('--build', 'build/cuda', '-j', options.jobs)
