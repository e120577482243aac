// The convolutions of the reference nets: shapes, operations, bytes. WideResNets of the released code, without norm.

/** The reference nets as every bench measures them: images of size × size × channels, 10 classes. */
export const images = {
  'wrn-10-1': { size: 28, channels: 1 },
  'wrn-16-2': { size: 32, channels: 3 },
  'wrn-28-10': { size: 32, channels: 3 },
}

/** Every convolution in order: [{ name, size (of the input, pixels), cin, cout, kernel, stride }]. conv1 of a block has
 *  stride 1, conv2 carries the stride, and the shortcut is a 1×1 convolution of the block's input. Forward it is part of
 *  conv2, whose `shortcut` is then the number of its input's channels. */
export function convolutionsOf(net, { size, channels }) {
  const [depth, width] = net.split('-').slice(1).map(Number)
  const list = [{ name: 'stem', size, cin: channels, cout: 16, kernel: 3, stride: 1 }]
  let cin = 16
  for (const [stage, cout] of [16 * width, 32 * width, 64 * width].entries()) {
    for (let block = 0; block < (depth - 4) / 6; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1
      const place = `${stage + 1}.${block}`
      list.push({ name: `${place}.conv1`, size, cin, cout, kernel: 3, stride: 1 })
      const conv2 = { name: `${place}.conv2`, size, cin: cout, cout, kernel: 3, stride }
      if (stride !== 1 || cin !== cout) {
        list.push({ ...conv2, shortcut: cin }, { name: `${place}.shortcut`, size, cin, cout, kernel: 1, stride })
      } else {
        list.push(conv2)
      }
      cin = cout
      size /= stride
    }
  }
  return list
}

/** What is computed of a convolution by a kernel of its own. */
export const passesOf = ({ name }) => (name.endsWith('shortcut') ? ['dgrad', 'wgrad'] : ['forward', 'dgrad', 'wgrad'])

/** The distinct ones, each with how many there are (`count`); the name is the first one's. */
export function distinctConvolutions(net, image) {
  const distinct = new Map()
  for (const layer of convolutionsOf(net, image)) {
    const { size, cin, cout, kernel, stride, shortcut } = layer
    const key = [size, cin, cout, kernel, stride, shortcut].join(' ')
    if (distinct.has(key)) distinct.get(key).count++
    else distinct.set(key, { ...layer, count: 1 })
  }
  return [...distinct.values()]
}

export const label = ({ size, cin, cout, kernel, stride, shortcut }) =>
  `${kernel}×${kernel} ${cin}→${cout}, ${size}×${size}${stride > 1 ? `, stride ${stride}` : ''}` +
  (shortcut ? `, shortcut ${shortcut}→${cout}` : '')

/** Floating-point operations of one convolution for one image, without its shortcut: the same forward, to the input and to
 *  the weight. */
export function operationsOf({ size, cin, cout, kernel, stride }) {
  return 2 * (size / stride) ** 2 * cout * cin * kernel * kernel
}

/** Forward and to the input, of all convolutions and the head, for one image. */
export function operationsPerImageStep(net, image) {
  const layers = convolutionsOf(net, image)
  const features = layers.at(-1).cout
  return 2 * (layers.reduce((sum, layer) => sum + operationsOf(layer), 0) + 2 * features * 10)
}

/** A pass as a matrix product with everything that it must move, each tensor once: m × n × k, the operations, and the
 *  bytes of elements of `width` bytes with residual or shortcut (conv2: forward; conv1: to the input) and sign bits. */
export function passOf(layer, pass, batch, width = 2) {
  const { size, cin, cout, kernel, stride, name, shortcut = 0 } = layer
  const out = size / stride
  const operations = batch * operationsOf(layer)
  const [x, y, w] = [batch * size * size * cin, batch * out * out * cout, kernel * kernel * cin * cout]
  if (pass === 'forward') {
    // Of the shortcut's image every stride-th row and column is read.
    const added = shortcut ? batch * out * out * shortcut + shortcut * cout : name.endsWith('conv2') ? y : 0
    return {
      ...{ m: batch * out * out, n: cout, k: kernel * kernel * cin + shortcut },
      operations: operations + 2 * y * shortcut,
      bytes: width * (x + w + y + added) + y / 8,
    }
  }
  if (pass === 'dgrad') {
    const residual = name.endsWith('conv1') ? x : 0
    const bytes = width * (y + w + x + residual) + x / 8
    // At stride 2 four phases, one for each parity of the input's rows and columns, share the taps.
    return { m: batch * size * size, n: cin, k: (kernel * kernel * cout) / stride ** 2, operations, bytes }
  }
  return { m: kernel * kernel * cin, n: cout, k: batch * out * out, operations, bytes: width * (x + y) + 4 * w }
}
