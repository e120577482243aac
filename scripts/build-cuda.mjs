// Builds the CUDA addon, build/Release/cuda.node, with cmake-js and nvcc (CMakeLists.txt). Fails where a kernel spills
// registers or where ptxas serialises matrix products.
// Usage: node scripts/build-cuda.mjs [--architectures 80-real,90a-real,80-virtual] [--jobs N]
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
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
      'in a clone run npm ci; for an installed langevin: npm install --no-save cmake-js@8 node-addon-api@8 && ' +
        'node node_modules/langevin/scripts/build-cuda.mjs',
    )
  }
}

const nvcc = findNvcc()
if (!nvcc) fail('nvcc is not installed', 'install the CUDA toolkit (12.8 or later), or set CUDA_HOME')
if (spawnSync('cmake', ['--version']).status !== 0) fail('cmake is not installed', 'install CMake 3.20 or later')

const cmakeJs = join(dirname(installed('cmake-js/package.json')), 'bin/cmake-js')
const definitions = {
  CMAKE_CUDA_COMPILER: nvcc,
  CMAKE_CUDA_COMPILER_LAUNCHER: `${process.execPath};${join(root, 'scripts/checked-nvcc.mjs')}`,
  NODE_ADDON_API: dirname(installed('node-addon-api/package.json')),
  ...(options.architectures && { LANGEVIN_ARCHITECTURES: options.architectures.replaceAll(',', ';') }),
}
/** `configure` takes changed definitions into an existing build folder; `build` alone would keep the old ones. */
for (const command of ['configure', 'build']) {
  const done = spawnSync(
    process.execPath,
    [
      ...[cmakeJs, command, '--directory', root, '--out', join(root, 'build/cuda')],
      ...['--prefer-make', '--parallel', options.jobs],
      ...Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`),
    ],
    { cwd: root, stdio: 'inherit' },
  )
  if (done.status !== 0) process.exit(done.status || 1)
}
