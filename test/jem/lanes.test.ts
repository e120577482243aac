import { afterEach, describe, expect, test } from 'vitest'
import { JemModel } from '../../src/jem/model.ts'
import { type EnergyModel, type SamplerOptions, sgld } from '../../src/jem/sampler.ts'
import { uniform } from '../../src/ops/random.ts'
import { Generator } from '../../src/random/generator.ts'
import { capture } from '../../src/tensor/capture.ts'
import { tensor } from '../../src/tensor/create.ts'
import { instructionSet, instructionSets, setInstructionSet } from '../../src/tensor/instruction-set.ts'
import { memory, resetPeakMemory, setThreads, threadCount } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'

const best = instructionSet()
afterEach(() => {
  setThreads(0)
  setInstructionSet(best)
})

/** The net, told to run so many images' chains at a time on each core, or all together. */
function atOnce(net: JemModel, chainsAtOnce: number | undefined): EnergyModel {
  return Object.create(net, { chainsAtOnce: { value: chainsAtOnce } }) as EnergyModel
}

/** What becomes of `batch` images, and where the generator stands then. */
function chains(model: EnergyModel, batch: number, options: Partial<SamplerOptions> = {}): unknown {
  return scope(() => {
    const x = uniform([batch, 9, 9, 1], new Generator(4), { low: -1, high: 1 })
    const generator = new Generator(5)
    sgld(model, x, generator, { steps: 3, stepSize: 1, noiseStd: 0.01, ...options })
    return { x: [...x.dataSync()], step: generator.state().step }
  })
}

describe('SGLD of a few images at a time on each core', () => {
  test.each(instructionSets())('%s: gives the bits of all together, for any number of threads', (isa) => {
    setInstructionSet(isa)
    using net = new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2) })
    const together = chains(atOnce(net, undefined), 13)
    for (const threads of [1, 2, 3]) {
      setThreads(threads)
      expect(chains(atOnce(net, 4), 13)).toEqual(together)
    }
  })

  test.each<[string, Partial<SamplerOptions>]>([
    ['a strict net', { precision: 'strict' }],
    ['inner steps', { innerSteps: 3, gradientClip: 0.5, clamp: [-1, 1] }],
    ['a clamped chain in bf16', { precision: 'bf16', clamp: [-1, 1] }],
  ])('gives the bits of all together to %s', (_, options) => {
    using net = new JemModel({ model: 'wrn-10-2', classes: 3, channels: 1, generator: new Generator(2) })
    setThreads(2)
    expect(chains(atOnce(net, 4), 9, options)).toEqual(chains(atOnce(net, undefined), 9, options))
  })

  test('climbs each image to its own label', () => {
    using net = new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2) })
    setThreads(2)
    scope(() => {
      const labels = tensor(Int32Array.from({ length: 9 }, (_, i) => i % 3))
      expect(chains(atOnce(net, 4), 9, { labels })).toEqual(chains(atOnce(net, undefined), 9, { labels }))
    })
  })

  test('works in the memory of a few images, and gives it back', () => {
    using net = new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2) })
    setThreads(2)
    const before = memory()
    const peak = (model: EnergyModel) => {
      resetPeakMemory()
      chains(model, 128)
      return memory().peakBytes - before.liveBytes
    }
    expect(peak(atOnce(net, 4))).toBeLessThan(0.3 * peak(atOnce(net, undefined)))
    expect(memory()).toMatchObject({ tensors: before.tensors, buffers: before.buffers, liveBytes: before.liveBytes })
  })

  test('leaves captures, training mode with norms and batches of few images to all cores together', () => {
    using net = new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2), norm: 'batch' })
    net.eval()
    expect(net.chainsAtOnce).toBeGreaterThan(0)
    net.train()
    expect(net.chainsAtOnce).toBeUndefined()
    expect(chains(atOnce(net, 4 * threadCount()), 3)).toEqual(chains(atOnce(net, undefined), 3))
    const [generator, other] = [new Generator(5), new Generator(5)]
    scope(() => {
      const [x, y] = [0, 1].map(() => uniform([16, 9, 9, 1], new Generator(4)))
      const options = { steps: 2, stepSize: 1, noiseStd: 0.01 }
      const graph = capture(() => sgld(atOnce(net, 4), x, generator, options), { generator })
      graph.replay()
      graph.dispose()
      sgld(atOnce(net, undefined), y, other, options)
      expect([...x.dataSync()]).toEqual([...y.dataSync()])
    })
  })
})
