import { basename } from 'node:path'
import { DTypeError } from '../../errors.ts'
import { type GoldenResult, verifyGolden } from '../../eval/golden.ts'
import type { VerifyOptions } from '../commands/verify.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { formatTable } from '../table.ts'

export async function runVerify(options: VerifyOptions, context: CliContext): Promise<void> {
  const { files, dtype, precision, json } = options
  if (options.device === 'cuda' && dtype === 'f64') {
    throw new DTypeError('verify: the cuda device computes in f32, got --dtype f64', { hint: 'use --device cpu' })
  }
  // f64 is for the CPU, also where `auto` would find a GPU.
  const device = openDevice({ device: dtype === 'f64' ? 'cpu' : options.device, threads: 0 }, context.stderr)
  const reports: object[] = []
  for (const file of files) {
    context.signal.throwIfAborted()
    const results = await verifyGolden(file, { dtype, device, precision })
    const pass = results.every((result) => result.pass)
    reports.push({ file, dtype, device, precision, pass, results })
    if (!pass && (precision === 'fp32' || precision === 'strict')) context.exitCode = 1
    if (!json)
      context.stdout.write(
        `${reports.length > 1 ? '\n' : ''}${asText(file, precision === 'fp32' ? dtype : precision, device, results)}`,
      )
  }
  if (json) context.stdout.write(`${JSON.stringify(reports, null, 2)}\n`)
}

function asText(file: string, dtype: string, device: string, results: readonly GoldenResult[]): string {
  const rows = results.map(({ key, relative, maxAbsolute, tolerance, bound, pass }) => [
    key,
    relative.toExponential(1),
    maxAbsolute.toExponential(1),
    `${tolerance.toExponential(0)} ${bound}`,
    pass ? 'pass' : 'FAIL',
  ])
  const failed = results.filter(({ pass }) => !pass).length
  const verdict = failed === 0 ? `all ${results.length} within tolerance` : `${failed} of ${results.length} FAIL`
  const table = formatTable(rows, ['value', 'relative L2', 'max abs', 'tolerance', ''])
  return `${basename(file)}, ${dtype}, ${device}\n\n${table}\n${basename(file)}: ${verdict}\n`
}
