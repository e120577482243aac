// A device by handles and calls of its op table, without tensors: for timing single kernels.
import { nativeDevice } from '../../dist/native/device.js'

const bytesOf = { f32: 4, bf16: 2, u8: 1, i32: 4 }

export class Kernels {
  #native
  #seed = 0

  constructor(kind) {
    this.#native = nativeDevice(kind)
    this.kind = kind
    this.ops = this.#native.ops
  }

  level() {
    return this.#native.addon.variant()
  }

  empty(count, dtype) {
    return this.#native.alloc(count, dtype)
  }

  normal(count, dtype, std = 1) {
    const y = this.empty(count, dtype)
    this.ops.randomNormal(y, count, 0, std, ++this.#seed, 0, 0, 0)
    return y
  }

  /** N(0, 1) after LeakyReLU, as the network's activations: data of constant bits uses less power and runs faster. */
  activations(count, dtype) {
    const x = this.normal(count, dtype)
    this.ops.leakyRelu(x, x, 0, count, 0.2)
    return x
  }

  free(...handles) {
    for (const handle of handles) if (handle) this.#native.addon.free(handle)
  }

  synchronize() {
    this.#native.synchronize()
  }

  /** Seconds of one call(i), one figure a slice: the clock around calls of at least 20 ms (where seconds allow it) that
   *  end with the device. i counts through, for inputs that rotate. */
  repeated(call, seconds, slices = 5) {
    let done = 0
    const run = (count) => {
      const start = process.hrtime.bigint()
      for (let i = 0; i < count; i++) call(done + i)
      this.synchronize()
      done += count
      return Number(process.hrtime.bigint() - start) / 1e9 / count
    }
    run(2)
    const count = Math.max(1, Math.round(seconds / slices / run(3)))
    return Array.from({ length: slices }, () => run(count))
  }
}

export const sizeOf = (dtype) => bytesOf[dtype]
