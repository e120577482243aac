import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { verifyGolden } from '../../src/eval/golden.ts'
import { instructionSet, instructionSets, setInstructionSet } from '../../src/tensor/instruction-set.ts'
import { devices } from '../ops/drive.ts'

const norms = ['none', 'batch', 'instance', 'layer', 'act']
const fixture = (norm: string) =>
  fileURLToPath(new URL(`../fixtures/golden/wrn-10-1-${norm}.safetensors`, import.meta.url))
const chosen = instructionSet()
afterEach(() => setInstructionSet(chosen))

/** The bound on logits, energies, input gradients, losses and parameter gradients. */
const bounds = { f64: 1e-9, f32: 2e-5 }

describe.each(instructionSets())("the network computes what PyTorch's does, on %s", { timeout: 120_000 }, (set) => {
  it.each(norms.flatMap((norm) => (['f64', 'f32'] as const).map((dtype) => ({ norm, dtype }))))(
    'norm $norm, $dtype',
    async ({ norm, dtype }) => {
      setInstructionSet(set)
      const results = await verifyGolden(fixture(norm), { dtype, device: 'cpu' })
      expect(results.filter(({ pass }) => !pass)).toEqual([])
      // 5 of a pass in eval mode, 3 chains, 3 losses; gradients and updates of every parameter.
      expect(results.length).toBeGreaterThanOrEqual(11 + 2 * 20)
      const net = results.filter(({ key }) => /^eval|losses$|^train.grad/.test(key))
      for (const { key, relative } of net) expect(relative, key).toBeLessThanOrEqual(bounds[dtype])
      // An activation that rounding tips over LeakyReLU's kink moves a parameter or two, never many.
      const updates = results.filter(({ key, bound }) => key.startsWith('train/after3') && bound === 'relative')
      expect(updates.filter(({ relative }) => relative > 2e-3).length).toBeLessThanOrEqual(2)
    },
  )
})

describe.runIf(devices.includes('cuda'))(
  "the network computes what PyTorch's does, on cuda",
  { timeout: 240_000 },
  () => {
    // In fp32 all levels of kernels take the same path; the emulated GPU needs some seconds for a net.
    it.each(norms)('norm %s, f32', async (norm) => {
      const results = await verifyGolden(fixture(norm), { dtype: 'f32', device: 'cuda' })
      expect(results.filter(({ pass }) => !pass)).toEqual([])
      expect(results.length).toBeGreaterThanOrEqual(11 + 2 * 20)
    })
  },
)
