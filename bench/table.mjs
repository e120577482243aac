// Writes bench/results/table.md from the newest complete result of bench/sgld.mjs, and puts it into README.md between
// its markers. Usage: node bench/table.mjs [FILE.json]
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './machine.mjs'

const results = join(root, 'bench/results')
const [begin, end] = ['<!-- bench:begin -->', '<!-- bench:end -->']

function newest() {
  const files = readdirSync(results).filter((name) => /-sgld(-quick)?\.json$/.test(name))
  const complete = files.filter((name) => !name.includes('-quick'))
  const name = (complete.length > 0 ? complete : files).sort().at(-1)
  return name && join(results, name)
}

const number = (value) => Math.round(value).toLocaleString('en')
const megabytes = (bytes) => `${number(bytes / 1e6)} MB`
const withSpread = ({ median, min, max }, format) => `${format(median)} (${format(min)}–${format(max)})`
const ratio = (value) => `${value.toFixed(2)}×`

function tableOf(path) {
  const { rows, limits, cpu, cores, date, commit, modified, versions, rounds, secondsPerSlice, quick } = JSON.parse(
    readFileSync(path, 'utf8'),
  )
  const lines = [
    '| net | batch | langevin, image-steps/s | PyTorch, image-steps/s | ratio | langevin, of FMA peak | PyTorch, of FMA peak | langevin, peak memory | PyTorch, peak memory |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
  ]
  const percent = (value) => (value === undefined ? '–' : `${value.toFixed(0)} %`)
  for (const { net, size, channels, batch, langevin, pytorch, ratio: pairs } of rows) {
    const theirs = pytorch.skipped ? undefined : pytorch
    lines.push(
      `| ${net.toUpperCase()}, ${size}×${size}×${channels} | ${batch} ` +
        `| ${withSpread(langevin.imageStepsPerSecond, number)} ` +
        `| ${theirs ? withSpread(theirs.imageStepsPerSecond, number) : 'not installed'} ` +
        `| ${pairs ? `**${ratio(pairs.median)}** (${ratio(pairs.min)}–${ratio(pairs.max)})` : '–'} ` +
        `| ${percent(langevin.percentOfPeak)} | ${percent(theirs?.percentOfPeak)} ` +
        `| ${megabytes(langevin.peakBytes + langevin.scratchBytes)} ` +
        `| ${theirs ? megabytes(theirs.peakRssDeltaBytes) : '–'} |`,
    )
  }
  const theirs = rows.map((row) => row.pytorch).find((row) => !row.skipped)
  const layouts = [...new Set(rows.flatMap((row) => row.pytorch.layout ?? []))].join(' or ')
  lines.push(
    '',
    `Median (lowest–highest) of ${rounds} slices of ${secondsPerSlice} s in turns, ${rows[0].threads} threads, ` +
      `${date.slice(0, 10)}, commit ${commit}${modified ? ' with changes' : ''}${quick ? ', a quick run' : ''}. ` +
      `${cpu}, ${cores} cores; ${rows[0].langevin.isa} kernels, Node ${versions.node}, g++ ${versions.gxx}` +
      `${theirs ? `; PyTorch ${theirs.version} eager, ${layouts} (the faster)` : ''}. ` +
      (limits ? `FMA peak ${limits.gflops} GFLOP/s and copy ${limits.copyGBs} GB/s, measured in the same run. ` : '') +
      `A step is forward, gradient to the input and the noisy update. Data: [${relative(root, path)}](${relative(root, path)}).`,
  )
  return `${lines.join('\n')}\n`
}

const path = process.argv[2] ?? newest()
if (!path) {
  process.stderr.write('no result in bench/results: run node bench/sgld.mjs first\n')
  process.exit(1)
}
const table = tableOf(path)
writeFileSync(join(results, 'table.md'), table)
const readme = join(root, 'README.md')
const text = existsSync(readme) ? readFileSync(readme, 'utf8') : ''
const [from, to] = [text.indexOf(begin), text.indexOf(end)]
if (from >= 0 && to > from) {
  writeFileSync(readme, `${text.slice(0, from + begin.length)}\n${table}${text.slice(to)}`)
  process.stdout.write('bench/results/table.md and README.md are up to date\n')
} else {
  process.stdout.write(`bench/results/table.md is up to date; README.md has no ${begin} … ${end}\n`)
}
