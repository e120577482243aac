// One convolution as the nets call it, by handles.

/** pass: forward with bias, LeakyReLU and sign bits, and the shortcut's convolution where it has one; dgrad, to the input,
 *  with sign bits; wgrad, to weight and bias. Inputs are `sets` copies, which call(i) takes in turns. The caller frees the
 *  handles. */
export function prepareConvolution(kernels, layer, { batch, pass, sets = 1, dtype = 'f32' }) {
  const { size, cin, cout, kernel, stride, shortcut = 0 } = layer
  const out = size / stride
  const [inputs, outputs, weights] = [batch * size ** 2 * cin, batch * out ** 2 * cout, kernel ** 2 * cin * cout]
  const shape = [batch, size, size, cin, cout, kernel, kernel, stride, kernel >> 1]
  const several = (count) => Array.from({ length: sets }, () => kernels.activations(count, dtype))
  const w = kernels.normal(weights, dtype, 0.05)
  const handles = [w]
  const own = (made) => {
    handles.push(...[made].flat())
    return made
  }
  if (pass === 'forward') {
    const [xs, bias, y] = [own(several(inputs)), own(kernels.normal(cout, dtype)), own(kernels.empty(outputs, dtype))]
    const signs = own(kernels.empty(Math.ceil(outputs / 8), 'u8'))
    const added = shortcut ? own(several(batch * size ** 2 * shortcut)) : []
    const addedWeight = shortcut ? own(kernels.normal(shortcut * cout, dtype, 0.05)) : 0
    const call = (i) =>
      kernels.ops.conv2d(
        ...[xs[i % sets], w, bias, 0, added[i % sets] ?? 0, addedWeight, 0, y, 0, signs],
        ...[...shape, shortcut, 0.2],
      )
    return { handles, call }
  }
  const dys = own(several(outputs))
  if (pass === 'dgrad') {
    const [signs, dx] = [own(kernels.empty(Math.ceil(inputs / 8), 'u8')), own(kernels.empty(inputs, dtype))]
    kernels.ops.fill(signs, Math.ceil(inputs / 8), 0b01100101)
    return { handles, call: (i) => kernels.ops.conv2dBackwardInput(dys[i % sets], w, signs, 0, dx, ...shape, 0.2) }
  }
  const [xs, dw, db] = [own(several(inputs)), own(kernels.empty(weights, dtype)), own(kernels.empty(cout, dtype))]
  return { handles, call: (i) => kernels.ops.conv2dBackwardWeight(xs[i % sets], dys[i % sets], dw, db, ...shape) }
}
