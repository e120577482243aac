// The steps of scripts/gpu.sh in order: what each runs, for how long at most, and what it needs.
//
// `command` is what runs on a GPU; `dry` what runs without one, where that makes sense. `json` names the file under the
// work folder that a step writes, which becomes part of gpu.json; `keeps` names a file that is kept beside it.
import { readdirSync } from 'node:fs'

const node = process.execPath
const vitest = [node, 'node_modules/vitest/vitest.mjs', 'run', '--reporter=default']
const sanitizer = (tool) => [
  ...[
    'compute-sanitizer',
    '--tool',
    tool,
    '--target-processes',
    'all',
    '--error-exitcode',
    '99',
    '--print-limit',
    '20',
  ],
  ...[node, 'scripts/gpu/hot-kernels.mjs'],
]
const golden = () =>
  readdirSync('test/fixtures/golden')
    .filter((name) => name.endsWith('.safetensors'))
    .map((name) => `test/fixtures/golden/${name}`)
/** Outputs of the instructions of Hopper, or of those that every GPU from Ampere on has. */
const recorded = ({ gpu }) => (gpu?.computeCapability === '9.0' ? 'sm_90.txt' : 'sm_80.txt')
const bench = (name, seconds) => ({
  name: `bench ${name}`,
  seconds,
  json: `${name}.json`,
  command: ({ device, work }) => [node, `bench/gpu/${name}.mjs`, '--device', device, '--out', `${work}/${name}.json`],
  dry: ({ device, work }) => [
    ...[node, `bench/gpu/${name}.mjs`, '--tiny', '--device', device],
    ...['--out', `${work}/${name}.json`],
  ],
})

export const steps = [
  {
    name: 'build',
    seconds: 240,
    needs: ['cmake', 'nvcc'],
    unless: ({ current }) => current && 'the addon is of these sources',
    command: () => ['bash', 'scripts/gpu/build.sh'],
  },
  {
    name: 'doctor',
    seconds: 40,
    command: () => [node, 'dist/cli/main.js', 'doctor'],
    dry: () => [node, 'dist/cli/main.js', 'doctor'],
  },
  {
    // Records what the hardware does, and then asks whether the emulator does the same.
    name: 'conformance',
    seconds: 120,
    needs: ['nvcc', 'g++'],
    keeps: recorded,
    command: (context) => {
      const path = `${context.work}/${recorded(context)}`
      const suite = [node, 'scripts/conformance.mjs'].join(' ')
      return ['bash', '-c', `${suite} --record ${path} && cp ${path} native/test/conformance/recorded && ${suite}`]
    },
  },
  {
    name: 'op table',
    seconds: 150,
    command: () => [...vitest, 'test/ops'],
    dry: () => [...vitest, 'test/ops/forward.test.ts', '-t', 'leakyRelu'],
  },
  {
    name: 'faults and memory',
    seconds: 60,
    command: () => [
      ...vitest,
      'test/native',
      'test/tensor',
      'test/random',
      'test/jem/cuda.test.ts',
      'test/eval/cuda.test.ts',
    ],
  },
  {
    name: 'golden nets',
    seconds: 40,
    command: ({ device }) => [node, 'dist/cli/main.js', 'verify', ...golden(), '--device', device],
    dry: () => [node, 'dist/cli/main.js', 'verify', golden().find((path) => path.includes('none'))],
  },
  {
    name: 'determinism',
    seconds: 40,
    command: ({ device }) => [node, 'scripts/gpu/determinism.mjs', '--device', device],
    dry: ({ device }) => [node, 'scripts/gpu/determinism.mjs', '--device', device, '--tiny'],
  },
  {
    name: 'hot kernels',
    seconds: 30,
    command: ({ device }) => [node, 'scripts/gpu/hot-kernels.mjs', '--device', device],
    dry: ({ device }) => [node, 'scripts/gpu/hot-kernels.mjs', '--tiny', '--device', device],
  },
  { name: 'memcheck', seconds: 75, needs: ['compute-sanitizer'], command: () => sanitizer('memcheck') },
  { name: 'racecheck', seconds: 75, needs: ['compute-sanitizer'], command: () => sanitizer('racecheck') },
  bench('convolutions', 110),
  bench('sgld', 200),
  bench('iteration', 60),
  bench('memory', 30),
]
