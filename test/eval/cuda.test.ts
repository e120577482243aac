// Attacks and samples on the GPU, emulated where there is none: what the CPU finds, up to rounding.
import { describe, expect, test } from 'vitest'
import { imageTensor } from '../../src/eval/attacks/accuracyCurve.ts'
import { apgd } from '../../src/eval/attacks/apgd.ts'
import type { Attack } from '../../src/eval/attacks/attack.ts'
import { type Classifier, classifierOf, refinedClassifier } from '../../src/eval/attacks/classifier.ts'
import { pgd } from '../../src/eval/attacks/pgd.ts'
import { squareAttack } from '../../src/eval/attacks/square.ts'
import { imagesOf, pickImages } from '../../src/eval/pictures.ts'
import { longChains } from '../../src/eval/samples/longChains.ts'
import { nearestImages } from '../../src/eval/samples/neighbours.ts'
import { JemModel } from '../../src/jem/model.ts'
import type { Device } from '../../src/native/contract.ts'
import { Generator } from '../../src/random/generator.ts'
import { bars } from '../jem/tiny.ts'
import { devices } from '../ops/drive.ts'

const data = bars(8)

/** `fn` of the same model on each device. */
async function onBoth<R>(fn: (model: JemModel, device: Device) => Promise<R>): Promise<[cpu: R, cuda: R]> {
  const results = []
  for (const device of ['cpu', 'cuda'] as const) {
    const generator = new Generator(1, 'init')
    using model = new JemModel({ model: 'wrn-10-1', classes: 4, channels: 1, generator, device })
    results.push(await fn(model.eval(), device))
  }
  return results as [R, R]
}

describe.runIf(devices.includes('cuda'))('cuda: judging', { timeout: 240_000 }, () => {
  const plain = (model: JemModel) => classifierOf(model)
  // In L2: a sign may tip over where a gradient is about 0.
  test.each<[string, Attack, (model: JemModel) => Classifier, 'l2' | 'linf']>([
    ['PGD', pgd({ steps: 2 }), plain, 'l2'],
    ['APGD-CE', apgd({ loss: 'ce', steps: 3 }), plain, 'l2'],
    ['APGD-DLR', apgd({ loss: 'dlr', steps: 3 }), plain, 'l2'],
    ['Square', squareAttack({ queries: 3 }), plain, 'linf'],
    [
      'PGD on JEM-1',
      pgd({ steps: 1 }),
      (model) => refinedClassifier(model, new Generator(2), { steps: 1, copies: 2 }),
      'l2',
    ],
  ])('%s finds the images that it finds on the CPU', async (_, attack, classifier, norm) => {
    const [cpu, cuda] = await onBoth(async (model, device) => {
      using images = imageTensor(data, [0, 1, 2], device)
      const target = { classifier: classifier(model), images, labels: [0, 1, 2], norm, epsilon: 32 }
      const found = await attack({ ...target, generator: new Generator(3) })
      using adversarial = found.images
      return { pixels: await adversarial.data(), margins: found.margins }
    })
    expect(cuda.pixels).toBeAllclose(cpu.pixels, { atol: 1e-4 })
    expect(cuda.margins).toBeAllclose(cpu.margins, { atol: 1e-4 })
  })

  test('chains and nearest images are those of the CPU', async () => {
    const [cpu, cuda] = await onBoth(async (model, device) => {
      const start = pickImages(imagesOf(data), [0, 1])
      const options = { stepSize: 0.1, noiseStd: 0.01, steps: 4, points: 2 }
      const { trace, frames } = await longChains(model, start, new Generator(4), options)
      const { places } = await nearestImages(frames[1], data, { device })
      return { f: trace.map(({ f }) => f!.mean), pixels: frames[1].pixels, places }
    })
    expect(cuda.f).toBeAllclose(cpu.f, { atol: 1e-4 })
    expect(cuda.pixels).toBeAllclose(cpu.pixels, { atol: 1e-4 })
    expect(cuda.places).toEqual(cpu.places)
  })
})
