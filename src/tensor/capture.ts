import { ConfigError } from '../errors.ts'
import type { Device, Graph } from '../native/contract.ts'
import { type NativeDevice, nativeDevice } from '../native/device.ts'
import { capturing, type Generator } from '../random/generator.ts'
import { scope } from './scope.ts'

export interface CaptureOptions {
  device?: Device
  /** The one generator that `fn` may draw from; each replay draws on from where it then stands. */
  generator?: Generator
}

/** A sequence of ops that runs again with each `replay()`. It keeps the memory that it works in until `dispose()`. */
export interface Captured {
  /** Enqueues the ops; returns at once. Their inputs are the same tensors, with the values they have then. */
  replay(): void
  dispose(): void
  [Symbol.dispose](): void
}

/**
 * Captures the ops that `fn` calls, without running them: on a GPU as one graph, which one call replays, kernel after
 * kernel without the host. Replaying gives the bits that calling `fn` would give, random numbers included. `fn` must
 * be synchronous, leave its results in tensors made before (assign, sgldUpdate, …), and read nothing; tensors that it
 * makes are disposed. On the CPU device nothing is captured, and `replay()` calls `fn`.
 * Throws ConfigError where `fn` draws from another generator, DeviceError where it reads or writes.
 */
export function capture(fn: () => void, { device = 'cpu', generator }: CaptureOptions = {}): Captured {
  const native = nativeDevice(device)
  if (!native.addon.captures) return calledAgain(fn)
  if (capturing.on) throw new ConfigError('capture: another capture is under way')
  const before = generator?.state()
  native.beginCapture()
  capturing.on = true
  capturing.generator = generator
  let failed = true
  try {
    scope(fn)
    failed = false
  } finally {
    capturing.on = false
    capturing.generator = undefined
    if (failed) native.dropCapture()
  }
  const changed = [...(native.changedInCapture ?? [])]
  const graph = native.endCapture()
  const draws = generator && before ? generator.state().step - before.step : 0
  if (before) generator?.restore(before)
  return new Replayed(native, graph, changed, generator, before?.step ?? 0, draws)
}

function calledAgain(fn: () => void): Captured {
  const replay = () => scope(fn)
  return { replay, dispose: () => {}, [Symbol.dispose]: () => {} }
}

class Replayed implements Captured {
  private readonly device: NativeDevice
  private readonly graph: Graph
  private readonly changed: readonly { version: number }[]
  private readonly generator: Generator | undefined
  /** The generator's step at the capture, and how many the graph takes. */
  private readonly step: number
  private readonly draws: number
  private disposed = false

  constructor(
    device: NativeDevice,
    graph: Graph,
    changed: readonly { version: number }[],
    generator: Generator | undefined,
    step: number,
    draws: number,
  ) {
    this.device = device
    this.graph = graph
    this.changed = changed
    this.generator = generator
    this.step = step
    this.draws = draws
  }

  replay(): void {
    if (this.disposed) throw new ConfigError('replay: the graph was disposed')
    const state = this.generator?.state()
    this.device.addon.replay(this.graph, state ? state.step - this.step : 0)
    for (const storage of this.changed) storage.version++
    if (state) this.generator!.restore({ ...state, step: state.step + this.draws })
  }

  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    this.device.addon.disposeGraph(this.graph)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
