import type { Node } from '../autograd/graph.ts'
import { DeviceError, DTypeError, ShapeError } from '../errors.ts'
import type { Device, DType, Handle, NativeOps } from '../native/contract.ts'
import { type NativeDevice, nativeDevice } from '../native/device.ts'
import { dtypes, fromBf16, type HostArray, hostArray, isFloat } from './dtype.ts'
import { forgetTensor, trackTensor } from './leaks.ts'
import { enterScope, leaveScope } from './scope.ts'

/** A device buffer and the number of tensors and graph nodes that hold it; freed with the last one. */
export class Storage {
  readonly device: NativeDevice
  readonly dtype: DType
  readonly count: number
  readonly handle: Handle
  refs = 1
  /** Counts changes in place, for copies made of the contents. */
  version = 0
  /** Of a parameter: products in bf16 keep their copy of it. */
  keepsBf16 = false
  /** That copy, the version it was made of, and the capture in which it was. */
  bf16: { copy: Storage; version: number; capture: number } | undefined

  constructor(device: NativeDevice, dtype: DType, count: number) {
    this.device = device
    this.dtype = dtype
    this.count = count
    this.handle = device.alloc(count, dtype)
  }

  retain(): Storage {
    this.refs++
    return this
  }

  release(): void {
    if (--this.refs > 0) return
    this.device.addon.free(this.handle)
    this.bf16?.copy.release()
  }
}

/** The most axes of a tensor. */
export const maxRank = 6

function expectRank(shape: readonly number[]): void {
  if (shape.length > maxRank) {
    throw new ShapeError(`a tensor has at most ${maxRank} axes, got [${shape.join(', ')}]`)
  }
}

let liveTensors = 0

/** Tensors that exist and are not disposed. */
export function tensorCount(): number {
  return liveTensors
}

/**
 * A dense row-major array on a device. Ops on tensors return at once and run in order on the device; only `data`,
 * `dataSync` and `item` wait. A tensor is freed by `dispose()`, by `using`, or by the `scope` it was made in, never by
 * the garbage collector.
 */
export class Tensor {
  readonly shape: readonly number[]
  /** @internal */
  readonly storage: Storage
  /** The op that made this tensor, where a gradient can flow through it. @internal */
  node: Node | undefined
  /** Which of the node's outputs this is. @internal */
  outputIndex = 0
  /** The gradient that `backward()` accumulated; owned by this tensor. */
  grad: Tensor | undefined
  private leaf = false
  private disposed = false

  /** @internal Takes over one reference to `storage`. */
  constructor(storage: Storage, shape: readonly number[]) {
    this.storage = storage
    this.shape = shape
    liveTensors++
    trackTensor(this)
    enterScope(this)
  }

  get dtype(): DType {
    return this.storage.dtype
  }
  get device(): Device {
    return this.storage.device.kind
  }
  /** Number of elements. */
  get size(): number {
    return this.storage.count
  }
  get rank(): number {
    return this.shape.length
  }
  get isDisposed(): boolean {
    return this.disposed
  }

  /** @internal To be called by every op that changes the tensor in place. */
  changed(): void {
    this.storage.version++
    this.storage.device.changedInCapture?.add(this.storage)
  }

  /** @internal The ops of this tensor's device. */
  get native(): NativeOps {
    return this.storage.device.ops
  }

  /** @internal Throws DeviceError once disposed. */
  get handle(): Handle {
    if (this.disposed) {
      throw new DeviceError(`a tensor of shape [${this.shape.join(', ')}] is used after it was disposed`, {
        hint: 'return it from scope(), or keep() it',
      })
    }
    return this.storage.handle
  }

  /** Whether gradients flow to this tensor: it is a leaf that asks for one, or was computed from such. Settable on
   *  leaves only. */
  get requiresGrad(): boolean {
    return this.leaf || this.node !== undefined
  }
  set requiresGrad(value: boolean) {
    if (this.node) throw new DeviceError('requiresGrad can be set only on a tensor that no op has computed')
    if (value && !isFloat(this.dtype)) {
      throw new DTypeError(`requiresGrad: gradients need f32 or f64 or bf16, got ${this.dtype}`)
    }
    this.leaf = value
  }

  /** The elements on the host, row-major; bf16 is widened to f32. Throws DeviceError where a kernel failed. */
  async data(): Promise<Exclude<HostArray, Uint16Array>> {
    const host = hostArray(this.dtype, this.size)
    await this.storage.device.read(this.handle, host)
    return widened(this.dtype, host)
  }

  /** As `data`, but blocks the event loop. */
  dataSync(): Exclude<HostArray, Uint16Array> {
    const host = hostArray(this.dtype, this.size)
    this.storage.device.readSync(this.handle, host)
    return widened(this.dtype, host)
  }

  /** The only element of a tensor of size 1. Throws ShapeError. */
  async item(): Promise<number> {
    this.expectOneElement()
    return (await this.data())[0]
  }

  itemSync(): number {
    this.expectOneElement()
    return this.dataSync()[0]
  }

  /** The same elements without their history; shares memory. */
  detach(): Tensor {
    return this.alias(this.shape)
  }

  /** @internal A tensor of another shape and the same size over the same memory, without history. */
  alias(shape: readonly number[]): Tensor {
    this.handle
    expectRank(shape)
    return new Tensor(this.storage.retain(), shape)
  }

  /** Frees the tensor; its memory goes when no graph needs it any more. Safe to call twice. */
  dispose(): void {
    if (this.disposed) return
    this.disposed = true
    liveTensors--
    forgetTensor(this)
    leaveScope(this)
    this.grad?.dispose()
    this.grad = undefined
    this.node?.release()
    this.node = undefined
    this.storage.release()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  toString(): string {
    return `Tensor([${this.shape.join(', ')}], ${this.dtype}, ${this.device})`
  }

  private expectOneElement(): void {
    if (this.size !== 1) throw new ShapeError(`item: the tensor must have one element, got [${this.shape.join(', ')}]`)
  }
}

function widened(dtype: DType, host: HostArray): Exclude<HostArray, Uint16Array> {
  if (dtype !== 'bf16') return host as Exclude<HostArray, Uint16Array>
  return Float32Array.from(host, fromBf16)
}

/** A tensor with undefined contents. Throws ShapeError, DTypeError, DeviceError, OutOfMemoryError. */
export function empty(shape: readonly number[], dtype: DType = 'f32', device: Device = 'cpu'): Tensor {
  if (!dtypes.includes(dtype)) throw new DTypeError(`dtype must be ${dtypes.join(' or ')}, got ${dtype}`)
  expectRank(shape)
  for (const extent of shape) {
    if (!Number.isSafeInteger(extent) || extent < 0) {
      throw new ShapeError(`a shape's extents must be whole numbers >= 0, got [${shape.join(', ')}]`)
    }
  }
  const count = shape.reduce((product, extent) => product * extent, 1)
  return new Tensor(new Storage(nativeDevice(device), dtype, count), shape)
}
