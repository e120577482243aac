import { describe, expect, test } from 'vitest'
import { JemModel } from '../../src/jem/model.ts'
import { SgldChains, sgld } from '../../src/jem/sampler.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { add } from '../../src/ops/arithmetic.ts'
import { assign } from '../../src/ops/cast.ts'
import { matmul } from '../../src/ops/matmul.ts'
import { withPrecision } from '../../src/ops/precision.ts'
import { normal, uniform } from '../../src/ops/random.ts'
import { gatherRows } from '../../src/ops/rows.ts'
import { sgldUpdate } from '../../src/ops/training.ts'
import { Generator } from '../../src/random/generator.ts'
import { type Captured, capture, replayLanes } from '../../src/tensor/capture.ts'
import { ones, tensor, zeros } from '../../src/tensor/create.ts'
import { memory, setThreads, synchronize } from '../../src/tensor/memory.ts'
import { scope } from '../../src/tensor/scope.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import { devices } from '../ops/drive.ts'

describe.each(devices)('%s: captured ops', (device) => {
  /** Two noisy steps of x towards its product with w. */
  function steps(x: Tensor, w: Tensor, generator: Generator): void {
    for (let i = 0; i < 2; i++) {
      scope(() => sgldUpdate(x, matmul(x, w), generator, { stepSize: 0.1, noiseStd: 0.5 }))
    }
  }
  const start = () => normal([5, 8], new Generator(1), { device })
  const weight = () => normal([8, 8], new Generator(2), { device })

  test('run at each replay, and give the bits of calling them again, random numbers included', () => {
    using w = weight()
    using called = start()
    using replayed = start()
    const [one, other] = [new Generator(3), new Generator(3)]
    using graph = capture(() => steps(replayed, w, other), { device, generator: other })
    expect(replayed.dataSync()).toEqual(called.dataSync()) // nothing has run yet
    expect(other.state()).toEqual(one.state())
    for (let round = 0; round < 3; round++) {
      steps(called, w, one)
      graph.replay()
      expect(replayed.dataSync()).toEqual(called.dataSync())
      expect(other.state()).toEqual(one.state())
      one.next()
      other.next() // draws between the replays
    }
  })

  test('see what their inputs hold at the replay', () => {
    using x = ones([3], { device })
    using y = zeros([3], { device })
    using graph = capture(() => assign(y, add(x, 1)), { device })
    graph.replay()
    expect([...y.dataSync()]).toEqual([2, 2, 2])
    using values = tensor([1, 2, 3], { device })
    assign(x, values)
    graph.replay()
    expect([...y.dataSync()]).toEqual([2, 3, 4])
  })

  test('work in memory of their own: what is made between the replays is safe, and they from it', () => {
    using x = ones([1000], { device })
    using y = zeros([1000], { device })
    const extra = ones([1000], { device })
    const graph = capture(() => assign(y, add(add(x, extra), add(x, 1))), { device })
    extra.dispose() // the graph still reads it
    const others: Tensor[] = []
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 8; i++) others.push(tensor(new Float32Array(1000).fill(7 + i), { device }))
      graph.replay()
      for (const [i, other] of others.entries()) expect(other.dataSync()[999]).toBe(7 + (i % 8))
      expect(y.dataSync()[999]).toBe(4)
    }
    for (const other of others) other.dispose()
    graph.dispose()
  })

  test('give their memory back with dispose()', () => {
    using x = ones([5000], { device })
    using y = zeros([5000], { device })
    const before = memory(device)
    for (let i = 0; i < 3; i++) {
      const graph = capture(() => assign(y, add(add(x, 1), add(x, 2))), { device })
      graph.replay()
      graph.dispose()
      graph.dispose()
      synchronize(device)
      expect(memory(device)).toMatchObject({ buffers: before.buffers, liveBytes: before.liveBytes })
    }
  })

  test('that fault name the op at the next read', () => {
    using x = ones([3, 2], { device })
    using index = tensor([0, 9], { dtype: 'i32', device })
    using y = zeros([2, 2], { device })
    using graph = capture(() => assign(y, gatherRows(x, index)), { device })
    graph.replay()
    expect(() => y.dataSync()).toThrow(/gatherRows: index 9 at 1 is outside \[0, 3\)/)
    synchronize(device)
  })

  test('of a chain of SGLD, in every precision, are the bits of sgld, also after the weights have changed', () => {
    for (const precision of ['fp32', 'tf32', 'bf16'] as const) {
      const net = new JemModel({ model: 'wrn-10-1', classes: 3, channels: 1, generator: new Generator(2), device })
      net.eval()
      const options = { steps: 2, stepSize: 1, noiseStd: 0.01, precision }
      const [one, other] = [new Generator(5), new Generator(5)]
      const chains = new SgldChains(net, one, options)
      scope(() => {
        const begin = () => uniform([2, 8, 8, 1], new Generator(4), { low: -1, high: 1, device })
        for (let round = 0; round < 2; round++) {
          const [a, b] = [begin(), begin()]
          chains.run(a)
          sgld(net, b, other, options)
          expect(a.dataSync(), `${precision}, round ${round}`).toEqual(b.dataSync())
          for (const p of net.parameters())
            assign(
              p,
              withPrecision('fp32', () => add(p.detach(), 0.01)),
            )
        }
      })
      chains.dispose()
      net.dispose()
    }
  })
})

describe.each(devices.filter((device) => nativeDevice(device).addon.captures))('%s: a capture refuses', (device) => {
  const refused = (fn: () => void): unknown => {
    try {
      capture(fn, { device, generator: new Generator(1) }).dispose()
    } catch (error) {
      return error
    }
    return undefined
  }

  test.each([
    ['a read', (x: Tensor) => x.dataSync(), /capture: a tensor is read while ops are captured/],
    ['a write', () => tensor([1], { device }), /capture: the host writes to a tensor/],
    ['to wait', () => synchronize(device), /capture: the device is waited for/],
    ['another generator', () => normal([2], new Generator(9), { device }), /a generator that was not given/],
    ['numbers of the host', () => new Generator(9).words(3), /random numbers of the host/],
    ['a capture within', () => capture(() => {}, { device }), /another capture is under way/],
  ])('%s, and the device works on', (_, fn, message) => {
    using x = ones([2], { device })
    const before = memory(device)
    expect(refused(() => fn(x))).toMatchObject({ message: expect.stringMatching(message) })
    expect(memory(device)).toMatchObject({ tensors: before.tensors, buffers: before.buffers })
    using y = scope(() => add(x, 1))
    expect([...y.dataSync()]).toEqual([2, 2])
  })
})

describe('captures that run at the same time, each on a core', () => {
  const captured = (fn: () => void, generator?: Generator) => capture(fn, { generator })

  test('each do their work as often as asked, for any number of threads', () => {
    for (const threads of [1, 2, 3]) {
      setThreads(threads)
      scope(() => {
        const values = Array.from({ length: 7 }, (_, i) => tensor([i, 10 * i]))
        const graphs = values.map((x) => captured(() => assign(x, add(x, 1))))
        replayLanes(
          graphs.map((captured) => ({ captured })),
          5,
        )
        for (const [i, x] of values.entries()) expect([...x.dataSync()]).toEqual([i + 5, 10 * i + 5])
        for (const graph of graphs) graph.dispose()
      })
    }
    setThreads(0)
  })

  test('draw their parts of the numbers that one call would draw, and leave the generator to the caller', () => {
    const generator = new Generator(3)
    scope(() => {
      const [whole, first, second] = [zeros([40]), zeros([12]), zeros([28])]
      const graphs = [first, second].map((x) => captured(() => noisy(x, generator), generator))
      generator.skip(2)
      replayLanes(
        [
          { captured: graphs[0], firstElement: 0 },
          { captured: graphs[1], firstElement: 12 },
        ],
        3,
      )
      expect(generator.state().step).toBe(2)
      for (let i = 0; i < 3; i++) noisy(whole, generator)
      expect(generator.state().step).toBe(2 + 3 * graphs[0].draws)
      expect([...first.dataSync(), ...second.dataSync()]).toEqual([...whole.dataSync()])
      for (const graph of graphs) graph.dispose()
    })
  })

  test('that fault name the op at the next read, and the device works on', () => {
    scope(() => {
      const [x, y, z] = [ones([3, 2]), zeros([1, 2]), zeros([2])]
      const index = tensor([9], { dtype: 'i32' })
      const bad = captured(() => assign(y, gatherRows(x, index)))
      const good = captured(() => assign(z, add(z, 1)))
      replayLanes([{ captured: bad }, { captured: good }])
      expect(() => y.dataSync()).toThrow(/gatherRows: index 9 at 0 is outside \[0, 3\)/)
      replayLanes([{ captured: good }])
      expect(z.dataSync()[0]).toBeGreaterThanOrEqual(1)
      bad.dispose()
      good.dispose()
    })
  })

  test('are captured while earlier calls still run, whose fault the next read tells', () => {
    scope(() => {
      const [x, y] = [ones([3, 2]), zeros([2])]
      gatherRows(x, tensor([9], { dtype: 'i32' }))
      const graph = captured(() => assign(y, add(y, 1)))
      graph.replay()
      expect(() => y.dataSync()).toThrow(/gatherRows: index 9/)
      expect([...y.dataSync()]).toEqual([1, 1])
      graph.dispose()
    })
  })

  test('are refused where they are disposed, of another kind, or draw differently', () => {
    scope(() => {
      const generator = new Generator(3)
      const x = zeros([8])
      const silent = captured(() => assign(x, add(x, 1)))
      const drawing = captured(() => noisy(x, generator), generator)
      const foreign: Captured = { draws: 0, replay: () => {}, dispose: () => {}, [Symbol.dispose]: () => {} }
      expect(() => replayLanes([{ captured: silent }, { captured: drawing }])).toThrow(/draw equally often/)
      expect(() => replayLanes([{ captured: silent }, { captured: silent }])).toThrow(/cannot run beside itself/)
      expect(() => replayLanes([{ captured: drawing, firstElement: 6 }])).toThrow(/must be a multiple of 4/)
      expect(() => replayLanes([{ captured: silent }], 1.5)).toThrow(/times must be a whole number/)
      expect(() => replayLanes([{ captured: foreign }])).toThrow(/capture\(\) did not make/)
      silent.dispose()
      drawing.dispose()
      expect(() => replayLanes([{ captured: silent }])).toThrow(/was disposed/)
      replayLanes([])
      expect([...x.dataSync()]).toEqual(Array(8).fill(0))
    })
  })

  test.each(devices.filter((device) => !nativeDevice(device).addon.hasLanes))('are refused on %s', (device) => {
    using x = zeros([8], { device })
    using graph = capture(() => assign(x, add(x, 1)), { device })
    expect(() => replayLanes([{ captured: graph }])).toThrow(/has no cores of their own/)
  })
})

/** x += n, n ~ N(0, 1). */
function noisy(x: Tensor, generator: Generator): void {
  scope(() => sgldUpdate(x, zeros(x.shape), generator, { stepSize: 0, noiseStd: 1 }))
}
