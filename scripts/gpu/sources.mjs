// What the native addons and dist/ are built from, as one digest: whether a build is that of these sources.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const native = ['native/core', 'native/cuda', 'native/addon']
const folders = [...native, 'native/cpu', 'src']
const files = ['binding.gyp', 'tsconfig.json']

function filesOf(root, folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

export function digestOfSources(root) {
  const hash = createHash('sha256')
  const paths = folders.flatMap((folder) => filesOf(root, folder))
  for (const path of [...paths.sort(), ...files.map((file) => join(root, file))]) {
    hash.update(path.slice(root.length)).update('\0').update(readFileSync(path)).update('\0')
  }
  return hash.digest('hex')
}

/** When a source of the CUDA addon was last written (ms). */
export function newestCudaSource(root) {
  return Math.max(...native.flatMap((folder) => filesOf(root, folder)).map((path) => statSync(path).mtimeMs))
}
