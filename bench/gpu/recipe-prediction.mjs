// What a run of each recipe at the paper's scale should take on an H100, by the arithmetic of prediction.mjs: WRN-28-10, 50,000
// images of CIFAR, products in bf16.
import { convolutionsOf, images } from '../wide-resnet.mjs'
import { assumed, predictPasses, predictStep, predictUpdate } from './prediction.mjs'

const trainingImages = 50_000
const net = 'wrn-28-10'

const sum = (values) => values.reduce((total, value) => total + value, 0)

/** Elements that the norms of the network see, of one image: the input of every block's two convolutions, and the last map. */
function normElements() {
  const layers = convolutionsOf(net, images[net]).filter(({ name }) => /conv[12]$/.test(name))
  const { size, cout, stride } = layers.at(-1)
  return sum(layers.map((layer) => layer.size ** 2 * layer.cin)) + (size / stride) ** 2 * cout
}

/** Batch norm and LeakyReLU as kernels of their own, in microseconds: forward they read an element three times and write it
 *  twice (statistics, normalise, activate), backward they read five and write two (activation, the sums of γ and β, the
 *  input). bf16, bound by memory; nine kernels a norm. */
function normMicroseconds(batch) {
  const elementMoves = 12
  const norms = convolutionsOf(net, images[net]).filter(({ name }) => /conv[12]$/.test(name)).length + 1
  const bytes = 2 * elementMoves * batch * normElements()
  return bytes / (assumed.copy * assumed.copyShare) / 1e6 + 9 * norms * assumed.boundary
}

/** { iterationsPerEpoch, iterations, milliseconds (of an iteration), hours } of a configuration. */
export function predictRun(config) {
  const { batch, labelledBatch, norm, pxWeight, sgldSteps, samRho, epochs, epochOf, validationSize } = config
  const labelled = labelledBatch || batch
  const norms = (images_) => (norm === 'none' ? 0 : normMicroseconds(images_))
  const batches = pxWeight > 0 ? [batch, batch, labelled] : [labelled]
  const passes = samRho > 0 ? 2 : 1
  const loss = passes * sum(batches.map((images_) => predictPasses(net, images_) + norms(images_)))
  const sampling = pxWeight > 0 ? sgldSteps * (predictStep(net, batch).microseconds + norms(batch)) : 0
  const milliseconds = (sampling + loss + predictUpdate(net)) / 1e3
  const iterationsPerEpoch = Math.floor((trainingImages - validationSize) / (epochOf === 'px' ? batch : labelled))
  const iterations = epochs * iterationsPerEpoch
  return { iterationsPerEpoch, iterations, milliseconds, hours: (iterations * milliseconds) / 3.6e6 }
}
