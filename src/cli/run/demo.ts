import { LangevinError } from '../../errors.ts'
import type { DemoOptions } from '../commands/demo.ts'
import type { CliContext } from '../context.ts'

export async function runDemo(_options: DemoOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'demo is not built yet')
}
