import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { CliContext } from '../../src/cli/context.ts'
import { settings } from '../../src/cli/options.ts'
import * as errors from '../../src/errors.ts'
import { defaultConfig } from '../../src/jem/config.ts'
import { langevin } from './collect.ts'

// What a command was given, and what it shall do.
const calls = vi.hoisted(() => ({
  options: undefined as unknown,
  act: undefined as undefined | ((c: never) => unknown),
}))
function spy(name: string) {
  return async (options: unknown, context: CliContext) => {
    calls.options = { name, ...(options as object) }
    await calls.act?.(context as never)
  }
}
vi.mock('../../src/cli/run/demo.ts', () => ({ runDemo: spy('demo') }))
vi.mock('../../src/cli/run/train.ts', () => ({ runTrain: spy('train') }))
vi.mock('../../src/cli/run/sample.ts', () => ({ runSample: spy('sample') }))
vi.mock('../../src/cli/run/compare.ts', () => ({ runCompare: spy('compare') }))
vi.mock('../../src/cli/run/eval.ts', () => ({ runEval: spy('eval') }))
vi.mock('../../src/cli/run/verify.ts', () => ({ runVerify: spy('verify') }))
vi.mock('../../src/cli/run/doctor.ts', () => ({ runDoctor: spy('doctor') }))
vi.mock('../../src/cli/run/bench-conv.ts', () => ({ runBenchConv: spy('bench conv') }))
vi.mock('../../src/cli/run/bench-network.ts', () => ({
  runBenchSgld: spy('bench sgld'),
  runBenchIteration: spy('bench iteration'),
  runBenchInference: spy('bench inference'),
}))

afterEach(() => {
  calls.options = undefined
  calls.act = undefined
})

describe('commands get their options', () => {
  it.each([
    ['demo', { name: 'demo', out: 'runs/demo', seed: 1, minutes: 8, device: 'auto', threads: 0 }],
    [
      'demo --out d --seed 3 --minutes 0.5',
      { name: 'demo', out: 'd', seed: 3, minutes: 0.5, device: 'auto', threads: 0 },
    ],
    [
      'sample --run r --out f.png',
      { name: 'sample', run: 'r', out: 'f.png', n: 100, source: 'buffer', seed: 1, device: 'auto', threads: 0 },
    ],
    [
      'sample --run r --out f.png --n 9 --class 3 --steps 40 --fresh --device cpu --threads 2',
      {
        ...{ name: 'sample', run: 'r', out: 'f.png', n: 9, class: 3, steps: 40, source: 'fresh' },
        ...{ seed: 1, device: 'cpu', threads: 2 },
      },
    ],
    ['eval --run r', { name: 'eval', run: 'r', equalSizes: true, resamples: 1000, device: 'auto', threads: 0 }],
    [
      'eval --run r --data mnist --ood fashion-mnist,svhn uniform --ood dir --json -',
      {
        ...{ name: 'eval', run: 'r', data: 'mnist', ood: ['fashion-mnist', 'svhn', 'uniform', 'dir'], json: '-' },
        ...{ equalSizes: true, resamples: 1000, device: 'auto', threads: 0 },
      },
    ],
    [
      'eval --run r --suite ood,accuracy --baseline b --sigma 0 --seed 3 --images 50 --channels 3 --resize 32 ' +
        '--no-equal-sizes --resamples 0 --out o',
      {
        ...{ name: 'eval', run: 'r', suite: ['ood', 'accuracy'], baseline: 'b', sigma: 0, seed: 3, images: 50 },
        ...{ channels: 3, resize: 32, equalSizes: false, resamples: 0, out: 'o', device: 'auto', threads: 0 },
      },
    ],
    ['compare a b --html c.html', { name: 'compare', runs: ['a', 'b'], html: 'c.html' }],
    [
      'eval --run r --suite robustness --attack-images 300 --attacks pgd,apgd-ce --epsilons 4,8 --epsilons-l2 none ' +
        '--attack-steps 20 --restarts 20 --refine 1,10 --eot-draws 5 --minimal-distance',
      {
        ...{ name: 'eval', run: 'r', suite: ['robustness'], attackImages: 300, attacks: ['pgd', 'apgd-ce'] },
        ...{ epsilons: [4, 8], epsilonsL2: [], attackSteps: 20, restarts: 20, refine: [1, 10], eotDraws: 5 },
        ...{ minimalDistance: true, equalSizes: true, resamples: 1000, device: 'auto', threads: 0 },
      },
    ],
    [
      'eval --run r --suite samples --samples 16 --sample-steps 40 --chains 8 --chain-steps 500',
      {
        ...{ name: 'eval', run: 'r', suite: ['samples'], samples: 16, sampleSteps: 40, chains: 8, chainSteps: 500 },
        ...{ equalSizes: true, resamples: 1000, device: 'auto', threads: 0 },
      },
    ],
    [
      'verify a.safetensors b',
      { name: 'verify', files: ['a.safetensors', 'b'], device: 'cpu', dtype: 'f32', precision: 'fp32', json: false },
    ],
    [
      'bench sgld --json',
      {
        ...{ name: 'bench sgld', net: 'wrn-10-1', size: 28, channels: 1, batch: 64, seconds: 3 },
        ...{ precision: 'fp32', json: true, device: 'auto', threads: 0 },
      },
    ],
    [
      'bench iteration --net wrn-16-2 --size 32 --channels 3 --steps 5',
      {
        ...{ name: 'bench iteration', net: 'wrn-16-2', size: 32, channels: 3, batch: 64, seconds: 3, steps: 5 },
        ...{ precision: 'fp32', json: false, device: 'auto', threads: 0 },
      },
    ],
    [
      'bench inference --batch 1',
      {
        ...{ name: 'bench inference', net: 'wrn-10-1', size: 28, channels: 1, batch: 1, seconds: 3 },
        ...{ json: false, device: 'auto', threads: 0 },
      },
    ],
    [
      'bench conv --in 32',
      {
        ...{ name: 'bench conv', size: 28, in: 32, out: 16, kernel: 3, stride: 1, batch: 64, seconds: 3 },
        ...{ json: false, device: 'auto', threads: 0 },
      },
    ],
    ['doctor', { name: 'doctor', json: false }],
  ])('langevin %s', async (line, options) => {
    expect(await langevin(line)).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(calls.options).toEqual(options)
  })

  it('train: defaults, flags, switches and a --config file below them', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'langevin-main-')), 'c.json')
    writeFileSync(path, JSON.stringify({ sigma: 0.2, clampSamples: true, lr: 0.01 }))
    const line = `train --data mnist --out o --config ${path} --sigma 0.1 --no-clamp-samples --unconditional`
    expect((await langevin(`${line} --decay-epochs 5 9 --warmup-steps -1`)).code).toBe(0)
    const given = {
      ...{ sigma: 0.1, clampSamples: false, lr: 0.01, unconditional: true, decayEpochs: [5, 9], warmupSteps: -1 },
    }
    const config = { ...defaultConfig, ...given }
    const conversion = { resize: undefined, channels: undefined }
    expect(calls.options).toEqual({ name: 'train', data: 'mnist', out: 'o', resume: false, conversion, config, given })
    await langevin('train --data mnist --out o --resize 32 --channels 3')
    expect(calls.options).toMatchObject({ conversion: { resize: 32, channels: 3 }, given: {} })
  })

  it('train --resume goes without --data and gives only what was asked', async () => {
    await langevin('--verbose train --out o --resume --steps 90')
    expect(calls.options).toMatchObject({ data: undefined, resume: true, given: { steps: 90 } })
  })
})

describe('exit codes and messages', () => {
  const failing = (error: unknown) => {
    calls.act = () => {
      throw error
    }
  }

  it.each([
    { type: errors.ConfigError, code: 2 },
    { type: errors.DataError, code: 2 },
    { type: errors.ShapeError, code: 2 },
    { type: errors.DTypeError, code: 2 },
    { type: errors.CheckpointError, code: 2 },
    { type: errors.DeviceError, code: 2 },
    { type: errors.OutOfMemoryError, code: 2 },
    { type: errors.DivergenceError, code: 1 },
  ])('$type.name gives $code, one line and its hint', async ({ type, code }) => {
    failing(new type('what was wrong', { hint: 'what to do' }))
    const stderr = 'langevin: what was wrong\n  hint: what to do\n'
    expect(await langevin('doctor')).toEqual({ code, stdout: '', stderr })
  })

  it('shows the stack, with causes, only with --verbose', async () => {
    failing(new errors.DataError('bad', { cause: new Error('deeper') }))
    expect((await langevin('doctor')).stderr).toBe('langevin: bad\n')
    const { stderr } = await langevin('doctor --verbose')
    expect(stderr).toMatch(/^langevin: bad\nDataError: bad\n {4}at /)
    expect(stderr).toContain('caused by Error: deeper')
  })

  it('tells a full disk in words, and an unexpected error apart', async () => {
    failing(Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC', path: '/runs/x/metrics.jsonl' }))
    expect(await langevin('doctor')).toMatchObject({
      code: 2,
      stderr: 'langevin: /runs/x/metrics.jsonl: no space left on the disk (ENOSPC)\n',
    })
    failing(new TypeError('x is not\n  a function'))
    const { code, stderr } = await langevin('doctor')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^langevin: internal error: x is not a function\n {2}hint: .*--verbose/)
  })

  it('takes the exit code that a command sets, and 130 when stopped', async () => {
    calls.act = (context: CliContext) => {
      context.exitCode = 1
    }
    expect((await langevin('doctor')).code).toBe(1)
    const controller = new AbortController()
    calls.act = (context: CliContext) => {
      controller.abort()
      context.signal.throwIfAborted()
    }
    expect(await langevin('doctor', { signal: controller.signal })).toEqual({ code: 130, stdout: '', stderr: '' })
  })

  it.each([
    ['trian', "unknown command 'trian'", 'did you mean train?'],
    ['bench sgl', "unknown command 'sgl'", 'did you mean sgld?'],
    ['train --out o --data mnist --sgld-step 3', "unknown option '--sgld-step'", 'did you mean --sgld-steps?'],
    [
      'train --out o --data mnist --n_steps 3',
      "unknown option '--n_steps'",
      "the released code's --n_steps is --sgld-steps",
    ],
    ['train --out o --data', '--data <name|path>: the value is missing', ''],
    ['train --data mnist', "required option '--out <dir>' not specified", ''],
    ['train --out o', 'train: --data is missing', 'for example --data mnist'],
    ['train --out o --data mnist --model wrn-11-1', 'model must be wrn-', 'did you mean wrn-10-1?'],
    ['train --out o --data mnist --sgld-steps abc', 'sgldSteps must be a whole number >= 0, got "abc"', ''],
    ['bench sgld --batch 0', '--batch must be a whole number >= 1, got "0"', ''],
    ['bench sgld --precision f16', '--precision must be one of fp32, strict, tf32, bf16, got "f16"', ''],
    ['bench sgld --peer jax', '--peer must be one of pytorch, got "jax"', ''],
    ['bench sgld --net wrn-9-1', '--net must be wrn-', ''],
    ['verify a --dtype f16', '--dtype must be one of f32, f64, got "f16"', ''],
    ['sample --run r --out f --fresh --buffer', 'sample: --fresh and --buffer exclude each other', ''],
    ['demo --minutes 0', '--minutes must be a number > 0, got "0"', ''],
    ['doctor now', "too many arguments for 'doctor'", ''],
  ])('langevin %s: exit 2', async (line, message, hint) => {
    const { code, stdout, stderr } = await langevin(line)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr.split('\n')[0]).toContain(`langevin: ${message}`)
    expect(stderr).toContain(hint)
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2)
    expect(calls.options).toBeUndefined()
  })
})

describe('help', () => {
  it('is printed to stdout, exit 0, by --help and by no arguments', async () => {
    const bare = await langevin('')
    expect(bare).toEqual(await langevin('--help'))
    expect(bare.code).toBe(0)
    for (const name of ['demo', 'train', 'sample', 'eval', 'compare', 'verify', 'bench', 'doctor']) {
      expect(bare.stdout).toMatch(new RegExp(`^ {2}${name}\\b`, 'm'))
    }
    expect((await langevin('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('lists every setting of train with its default', async () => {
    const { stdout } = await langevin('train --help')
    for (const [key, value] of Object.entries(defaultConfig)) {
      const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
      const shown = typeof value === 'boolean' ? (value ? 'on' : 'off') : [value].flat().join(' ')
      const entry = new RegExp(`^ {2}${flag} .*(?:\\n {10}.*)*`, 'm').exec(stdout)?.[0].replace(/\s+/g, ' ')
      expect(entry, flag).toContain(`default: ${shown})`)
      expect(entry, flag).toContain(settings[key as keyof typeof settings].help)
    }
  })

  it('fits the width it is given', async () => {
    for (const command of [
      '',
      'demo',
      'train',
      'sample',
      'eval',
      'compare',
      'verify',
      'bench sgld',
      'bench iteration',
      'bench inference',
      'bench conv',
      'doctor',
    ]) {
      const { stdout } = await langevin(`${command} --help`)
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
    }
  })
})
