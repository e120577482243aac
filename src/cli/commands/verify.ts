import type { Command } from 'commander'
import { type Precision, precisions } from '../../ops/precision.ts'
import type { CliContext } from '../context.ts'
import { choiceFlag } from '../range.ts'

export interface VerifyOptions {
  files: string[]
  device: 'cpu' | 'cuda' | 'auto'
  precision: Precision
  dtype: 'f32' | 'f64'
  json: boolean
}

export function declareVerify(program: Command, context: CliContext): void {
  program
    .command('verify')
    .summary('check the engine against golden vectors from PyTorch')
    .description(
      "Rebuilds each file's network from its metadata, computes logits, energies, input gradients, SGLD steps, " +
        'losses, parameter gradients and three Adam steps, and prints relative L2 and maximum absolute error of each. ' +
        'Exit code 0 only if all are within tolerance, else 1.',
    )
    .argument('<file.safetensors...>', 'golden vectors')
    .option('--device <cpu|cuda|auto>', 'where to compute', choiceFlag('--device', ['cpu', 'cuda', 'auto']), 'cpu')
    .option('--dtype <f32|f64>', 'precision (f64: CPU only)', choiceFlag('--dtype', ['f32', 'f64']), 'f32')
    .option(
      '--precision <fp32|strict|tf32|bf16>',
      'of products; the tolerances are those of fp32, so tf32 and bf16 are told and not judged',
      choiceFlag('--precision', precisions),
      'fp32',
    )
    .option('--json', 'print JSON instead of a table')
    .action(async (files: string[], flags: Omit<VerifyOptions, 'files'>) => {
      const { runVerify } = await import('../run/verify.ts')
      await runVerify({ ...flags, files, json: flags.json ?? false }, context)
    })
}
