import { LangevinError } from '../../errors.ts'
import type { DoctorOptions } from '../commands/doctor.ts'
import type { CliContext } from '../context.ts'

export async function runDoctor(_options: DoctorOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'doctor is not built yet')
}
