/** Host arrays in float64, and the naive loops that references are written with. */
export interface Host {
  shape: readonly number[]
  data: Float64Array
}

export function host(shape: readonly number[], data: ArrayLike<number>): Host {
  return { shape, data: Float64Array.from(data) }
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((n, extent) => n * extent, 1)
}

/** Every index below `shape`, in row-major order. */
export function* indices(shape: readonly number[]): Generator<number[]> {
  const count = sizeOf(shape)
  const index = shape.map(() => 0)
  for (let i = 0; i < count; i++) {
    yield index
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0
  }
}

/** The array whose element at each index is f(index). */
export function build(shape: readonly number[], f: (index: readonly number[]) => number): Host {
  const data = new Float64Array(sizeOf(shape))
  let i = 0
  for (const index of indices(shape)) data[i++] = f(index)
  return { shape, data }
}

export function at(x: Host, index: readonly number[]): number {
  let flat = 0
  for (let axis = 0; axis < x.shape.length; axis++) flat = flat * x.shape[axis] + index[axis]
  return x.data[flat]
}

export function map(x: Host, f: (value: number, flat: number) => number): Host {
  return { shape: x.shape, data: x.data.map(f) }
}

/** f over numpy-broadcast operands. */
export function zip(f: (...values: number[]) => number, ...operands: Host[]): Host {
  const rank = Math.max(...operands.map((x) => x.shape.length))
  const padded = operands.map((x) => ({ ...x, shape: [...new Array(rank - x.shape.length).fill(1), ...x.shape] }))
  const shape = Array.from({ length: rank }, (_, i) => {
    const stretched = padded.map((x) => x.shape[i]).filter((extent) => extent !== 1)
    return stretched[0] ?? 1
  })
  return build(shape, (index) =>
    f(
      ...padded.map((x) =>
        at(
          x,
          index.map((i, axis) => (x.shape[axis] === 1 ? 0 : i)),
        ),
      ),
    ),
  )
}

/** f over the values that share all but the reduced axes. */
export function reduce(x: Host, axes: readonly number[], keepDims: boolean, f: (values: number[]) => number): Host {
  const kept = x.shape.map((extent, i) => (axes.includes(i) ? 1 : extent))
  const box = x.shape.map((extent, i) => (axes.includes(i) ? extent : 1))
  const full = build(kept, (outer) => {
    const values: number[] = []
    for (const inner of indices(box)) {
      values.push(
        at(
          x,
          outer.map((o, i) => o + inner[i]),
        ),
      )
    }
    return f(values)
  })
  return keepDims ? full : { ...full, shape: x.shape.filter((_, i) => !axes.includes(i)) }
}

export const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

export const largest = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity)

/** An index reflected into [0, n), the edge not repeated. */
export const mirror = (i: number, n: number): number => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i)

export interface ConvOptions {
  bias?: Host
  residual?: Host
  /** A 1×1 convolution of the same stride, added. */
  shortcut?: { x: Host; weight: Host; bias?: Host }
  stride: number
  padding: number
}

/** Convolution by its definition: seven loops. */
export function convolve(x: Host, weight: Host, options: ConvOptions): Host {
  const { bias, residual, shortcut, stride, padding } = options
  const [batch, height, width, cin] = x.shape
  const [kh, kw, , cout] = weight.shape
  const oh = Math.floor((height + 2 * padding - kh) / stride) + 1
  const ow = Math.floor((width + 2 * padding - kw) / stride) + 1
  const y = new Float64Array(batch * oh * ow * cout)
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++) {
        const out = ((n * oh + i) * ow + j) * cout
        for (let a = 0; a < kh; a++)
          for (let b = 0; b < kw; b++) {
            const row = i * stride + a - padding
            const column = j * stride + b - padding
            if (row < 0 || row >= height || column < 0 || column >= width) continue
            for (let c = 0; c < cin; c++) {
              const value = x.data[((n * height + row) * width + column) * cin + c]
              const weights = ((a * kw + b) * cin + c) * cout
              for (let d = 0; d < cout; d++) y[out + d] += value * weight.data[weights + d]
            }
          }
        for (let d = 0; d < cout; d++) y[out + d] += (bias?.data[d] ?? 0) + (residual?.data[out + d] ?? 0)
      }
  const made = { shape: [batch, oh, ow, cout], data: y }
  if (!shortcut) return made
  return zip((a, b) => a + b, made, convolve(shortcut.x, shortcut.weight, { bias: shortcut.bias, stride, padding: 0 }))
}

/** What a gradient to z gives x, the weight and the bias of the convolution. */
export function convolveBackward(
  x: Host,
  weight: Host,
  dz: Host,
  { stride, padding }: Pick<ConvOptions, 'stride' | 'padding'>,
): { dx: Host; dweight: Host; dbias: Host } {
  const [batch, height, width, cin] = x.shape
  const [kh, kw, , cout] = weight.shape
  const [, oh, ow] = dz.shape
  const dx = map(x, () => 0)
  const dweight = map(weight, () => 0)
  const dbias = host([cout], new Array(cout).fill(0))
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < oh; i++)
      for (let j = 0; j < ow; j++) {
        const out = ((n * oh + i) * ow + j) * cout
        for (let d = 0; d < cout; d++) dbias.data[d] += dz.data[out + d]
        for (let a = 0; a < kh; a++)
          for (let b = 0; b < kw; b++) {
            const row = i * stride + a - padding
            const column = j * stride + b - padding
            if (row < 0 || row >= height || column < 0 || column >= width) continue
            for (let c = 0; c < cin; c++) {
              const from = ((n * height + row) * width + column) * cin + c
              const weights = ((a * kw + b) * cin + c) * cout
              for (let d = 0; d < cout; d++) {
                dx.data[from] += weight.data[weights + d] * dz.data[out + d]
                dweight.data[weights + d] += x.data[from] * dz.data[out + d]
              }
            }
          }
      }
  return { dx, dweight, dbias }
}

/** erf by Kummer's series, whose terms are all positive. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}
