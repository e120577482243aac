import { LangevinError } from '../../errors.ts'
import type { BenchConvOptions, BenchSgldOptions } from '../commands/bench.ts'
import type { CliContext } from '../context.ts'

export async function runBenchSgld(_options: BenchSgldOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'bench sgld is not built yet')
}

export async function runBenchConv(_options: BenchConvOptions, _context: CliContext): Promise<void> {
  throw new LangevinError('NOT_BUILT', 'bench conv is not built yet')
}
