import { LangevinError } from '../../errors.ts'
import type { TrainOptions } from '../commands/train.ts'
import type { CliContext } from '../context.ts'

export async function runTrain(_options: TrainOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'train is not built yet')
}
