import { LangevinError } from '../../errors.ts'
import type { SampleOptions } from '../commands/sample.ts'
import type { CliContext } from '../context.ts'

export async function runSample(_options: SampleOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'sample is not built yet')
}
