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
  /** How many steps of the generator a replay takes. */
  readonly draws: number
  /** Enqueues the ops; returns at once. Their inputs are the same tensors, with the values they have then. */
  replay(): void
  dispose(): void
  [Symbol.dispose](): void
}

/**
 * Captures the ops that `fn` calls, without running them; one call replays them, kernel after kernel without the host.
 * Replaying gives the bits that calling `fn` would give, random numbers included. `fn` must be synchronous, leave its
 * results in tensors made before (assign, sgldUpdate, …), and read nothing; tensors that it makes are disposed.
 * Throws ConfigError where `fn` draws from another generator, DeviceError where it reads or writes.
 */
export function capture(fn: () => void, { device = 'cpu', generator }: CaptureOptions = {}): Captured {
  const native = nativeDevice(device)
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

/** Whether ops are being captured now. */
export function isCapturing(): boolean {
  return capturing.on
}

/** One of several captures that run at the same time. */
export interface Lane {
  captured: Captured
  /** Its tensors of random numbers are parts of larger ones, from this element on: a multiple of 4. Default 0. */
  firstElement?: number
}

/**
 * Replays captures of one device at the same time, each on one core by itself and `times` times over; returns at once.
 * None may write what another uses. Each draws from where its generator stands, which stays there (`Captured.draws` says
 * how far one time would move it), so that what several calls do are parts of the same draws. For small work that
 * should stay in a core's cache. Throws ConfigError where the device has no such cores (`cuda`), a capture comes twice or
 * was disposed, or a number is not what is said here.
 */
export function replayLanes(lanes: readonly Lane[], times = 1): void {
  if (lanes.length === 0) return
  const replayed = lanes.map(({ captured }) => {
    if (!(captured instanceof Replayed)) throw new ConfigError('replayLanes: a lane that capture() did not make')
    return captured
  })
  const { device, draws } = replayed[0]
  if (!device.addon.hasLanes) throw new ConfigError(`replayLanes: the ${device.kind} device has no cores of their own`)
  if (replayed.some((other) => other.device !== device || other.draws !== draws)) {
    throw new ConfigError('replayLanes: the lanes must be of one device and draw equally often')
  }
  if (new Set(replayed).size < replayed.length) throw new ConfigError('replayLanes: a capture cannot run beside itself')
  if (!Number.isSafeInteger(times) || times < 0) {
    throw new ConfigError(`replayLanes: times must be a whole number >= 0, got ${times}`)
  }
  for (const { firstElement = 0 } of lanes) {
    if (Number.isSafeInteger(firstElement) && firstElement >= 0 && firstElement % 4 === 0) continue
    throw new ConfigError(`replayLanes: firstElement must be a multiple of 4 and >= 0, got ${firstElement}`)
  }
  device.addon.replayLanes(
    replayed.map((lane, i) => [lane.graphNow(), lane.stepOffset(), lanes[i].firstElement ?? 0]),
    times,
    draws,
  )
  for (const lane of replayed) lane.countChanges()
}

class Replayed implements Captured {
  readonly device: NativeDevice
  readonly draws: number
  private readonly graph: Graph
  private readonly changed: readonly { version: number }[]
  private readonly generator: Generator | undefined
  /** The generator's step at the capture. */
  private readonly step: number
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
    this.device.addon.replay(this.graphNow(), this.stepOffset())
    this.countChanges()
    this.generator?.skip(this.draws)
  }

  graphNow(): Graph {
    if (this.disposed) throw new ConfigError('replay: the graph was disposed')
    return this.graph
  }

  /** How far the generator has moved since the capture. */
  stepOffset(): number {
    return this.generator ? this.generator.state().step - this.step : 0
  }

  countChanges(): void {
    for (const storage of this.changed) storage.version++
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
