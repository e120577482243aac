import { LangevinError } from '../../errors.ts'
import type { EvalOptions } from '../commands/eval.ts'
import type { CliContext } from '../context.ts'

export async function runEval(_options: EvalOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'eval is not built yet')
}
