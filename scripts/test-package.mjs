// The package as a user gets it: packs it, checks what is inside, installs the tarball into an empty project, and runs
// test/package/smoke.mjs there on this Node and, where npm can fetch them, on the other supported ones. All must print
// the same bits. Ends with "N passed, N failed".
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const otherNodes = [20, 22, 24].filter((major) => major !== Number(process.versions.node.split('.')[0]))
const work = mkdtempSync(join(tmpdir(), 'langevin-package-'))
let passed = 0
let failed = 0

function check(name, problem) {
  if (problem) failed++
  else passed++
  process.stdout.write(`${problem ? 'FAILED' : 'ok    '} ${name}${problem ? `\n${problem}` : ''}\n`)
}

function npm(args, cwd) {
  return spawnSync('npm', args, { cwd, encoding: 'utf8', maxBuffer: 2 ** 28 })
}

/** What a user needs, and nothing of what only this repository does. */
function wrongFiles(files) {
  const names = files.map((file) => file.path)
  const addon = `prebuilds/${process.platform}-${process.arch}/cpu.node`
  const needed = [
    ...['package.json', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'binding.gyp', addon],
    ...['native/core/op_table.h', 'native/addon/addon.cc', 'scripts/build.mjs'],
    ...['data/README.md', 'README.md', 'CHANGELOG.md'].filter((name) => existsSync(join(root, name))),
  ]
  const missing = needed.filter((name) => !names.includes(name))
  const unwanted = names.filter((name) =>
    /^(test|bench(?!\/pytorch\/)|build|runs|src|docs)\b|native\/test|\.tsbuildinfo$/.test(name),
  )
  const problems = []
  if (missing.length > 0) problems.push(`missing: ${missing.join(', ')}`)
  if (unwanted.length > 0) problems.push(`not for users: ${unwanted.slice(0, 10).join(', ')}`)
  return problems.join('\n')
}

try {
  // prepack builds, and fills prebuilds/.
  const packed = npm(['pack', '--json', '--pack-destination', work], root)
  if (packed.status !== 0) throw new Error(packed.stderr)
  const [{ filename, files, size }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[')))
  check(`npm pack: ${files.length} files, ${(size / 1e6).toFixed(1)} MB`, wrongFiles(files))

  const project = join(work, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  // No install script is needed: what npm and pnpm block by default must not be missed.
  const installed = npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', join(work, filename)], project)
  check('npm install --ignore-scripts of the tarball', installed.status === 0 ? '' : installed.stderr)
  copyFileSync(join(root, 'test/package/smoke.mjs'), join(project, 'smoke.mjs'))

  const outputs = new Map()
  const smoke = (name, node) => {
    const run = spawnSync(node, ['smoke.mjs'], { cwd: project, encoding: 'utf8', timeout: 120_000 })
    check(name, run.status === 0 ? '' : `${run.stdout}${run.stderr}`)
    if (run.status === 0) outputs.set(name, run.stdout)
  }
  smoke(`smoke test, Node ${process.versions.node}`, process.execPath)
  for (const major of otherNodes) {
    const folder = join(work, `node-${major}`)
    mkdirSync(folder)
    const name = `node-${process.platform}-${process.arch}`
    const fetched = npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${major}`], folder)
    const manifest = join(folder, 'node_modules', name, 'package.json')
    if (fetched.status !== 0) {
      process.stdout.write(`skip   Node ${major}: npm cannot fetch ${name}@${major}\n`)
      continue
    }
    const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
    smoke(`smoke test, Node ${version}`, join(dirname(manifest), 'bin/node'))
  }
  const bits = new Set(outputs.values())
  check('the same bits on every Node', bits.size <= 1 ? '' : [...outputs].map((pair) => pair.join(':\n')).join('\n'))
  const cli = join(project, 'node_modules/.bin/langevin')
  const version = spawnSync(cli, ['--version'], { encoding: 'utf8' })
  const expected = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version
  check('langevin --version', version.stdout?.includes(expected) ? '' : `${version.stdout}${version.stderr}`)
} catch (error) {
  check('the package', error.message)
} finally {
  rmSync(work, { recursive: true, force: true })
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
