import { basename } from 'node:path'
import { DeviceError, DTypeError } from '../../errors.ts'
import { type GoldenResult, verifyGolden } from '../../eval/golden.ts'
import type { VerifyOptions } from '../commands/verify.ts'
import type { CliContext } from '../context.ts'
import { openDevice } from '../device.ts'
import { formatTable } from '../table.ts'

export async function runVerify({ files, device, dtype, json }: VerifyOptions, context: CliContext): Promise<void> {
  if (device === 'cuda' && dtype === 'f64') {
    throw new DTypeError('verify: the cuda device computes in f32, got --dtype f64', { hint: 'use --device cpu' })
  }
  if (openDevice({ device, threads: 0 }) !== device) throw new DeviceError(`no ${device} device`)
  const reports: { file: string; dtype: string; device: string; pass: boolean; results: GoldenResult[] }[] = []
  for (const file of files) {
    context.signal.throwIfAborted()
    const results = await verifyGolden(file, { dtype, device })
    const pass = results.every((result) => result.pass)
    reports.push({ file, dtype, device, pass, results })
    if (!pass) context.exitCode = 1
    if (!json) context.stdout.write(`${reports.length > 1 ? '\n' : ''}${asText(file, dtype, device, results)}`)
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
