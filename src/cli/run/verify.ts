import { LangevinError } from '../../errors.ts'
import type { VerifyOptions } from '../commands/verify.ts'
import type { CliContext } from '../context.ts'

export async function runVerify(_options: VerifyOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'verify is not built yet')
}
