// Brings docs/evidence.md, its pictures, and the README's evidence up to date from the newest result of bench/evidence.mjs.
//
//   node bench/evidence-pages.mjs [--check] [FOLDER]
//
// FOLDER: where bench/evidence.mjs has finished (runs/evidence): its result is taken over into bench/results first, and
// its pictures into docs/images.
import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { statistic } from '../dist/eval/compare.js'
import { robustnessCurves } from '../dist/eval/plots.js'
import { judgeClaims, numberOf, oodSetsOf } from './evidence/claims.mjs'
import { root } from './machine.mjs'
import { Pages, table } from './pages/markdown.mjs'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean', default: false } },
})

const titles = { mnist: 'MNIST', 'fashion-mnist': 'Fashion-MNIST' }
const grid = 'samples-fresh-classes.png'
const pictureOf = ({ data, recipe }) => `evidence-${data}-${recipe}.png`

function takeOver(folder) {
  const from = join(folder, 'evidence.json')
  if (!existsSync(from)) {
    process.stderr.write(`${from} is not there: node bench/evidence.mjs --out ${folder} writes it when all is judged\n`)
    process.exit(2)
  }
  const { date, runs } = JSON.parse(readFileSync(from, 'utf8'))
  copyFileSync(from, join(root, 'bench/results', `${date.slice(0, 10)}-evidence.json`))
  for (const run of runs) {
    if (!run.samples) continue
    const picture = join(folder, `${run.data}-${run.recipe}-${run.seed}`, 'eval', grid)
    copyFileSync(picture, join(root, 'docs/images', pictureOf(run)))
  }
}

function newest(ending) {
  const folder = join(root, 'bench/results')
  const name = readdirSync(folder)
    .filter((file) => file.endsWith(ending))
    .sort()
    .at(-1)
  return name && join(folder, name)
}

/** Runs that show samples. */
const drawnOf = (runs) => runs.filter(({ samples }) => samples)

const percent = (value) => `${(100 * value).toFixed(1)} %`
const score = (value) => value.toFixed(3)
const formats = { percent, none: score, nats: score }

function spread(values, format) {
  const known = values.filter((value) => value !== undefined)
  if (known.length === 0) return '–'
  const { mean, std } = statistic(known)
  return std === null ? format(mean) : `${format(mean).replace(' %', '')} ± ${format(std)}`
}

const unique = (values) => [...new Set(values)]
const recipesOf = (runs) => unique(runs.map(({ recipe }) => recipe))
const seedsOf = (runs) => unique(runs.map(({ seed }) => seed))

/** The few columns of the README. */
function summary(runs, foreign) {
  const columns = [
    ['accuracy', (run) => numberOf(run, 'accuracy'), percent],
    ['ECE', (run) => numberOf(run, 'ECE, 15 bins'), percent],
    ['ECE, scaled', (run) => numberOf(run, 'ECE, 15 bins, scaled'), percent],
    ...[
      ['log p(x)', 'log p(x)'],
      ['max p(y\\|x)', 'max p(y|x)'],
      ['−‖∂log p/∂x‖', '−‖∂log p/∂x‖₂'],
    ].map(([head, name]) => [`AUROC, ${head}`, (run) => numberOf(run, `AUROC of ${name} against ${foreign}`), score]),
    ['under attack, L∞ 16/255', (run) => numberOf(run, 'accuracy at L∞ ε 16 (all, 40 steps)'), percent],
    ['samples recognised', (run) => numberOf(run, 'fresh samples that the baseline recognises'), percent],
  ]
  return table(
    ['recipe', 'seeds', ...columns.map(([head]) => head), 'an iteration'],
    recipesOf(runs).map((recipe) => [
      `\`${recipe}\``,
      seedsOf(runs.filter((run) => run.recipe === recipe)).length,
      ...columns.map(([, value, format]) => spread(runs.filter((run) => run.recipe === recipe).map(value), format)),
      costOf(recipe),
    ]),
  )
}

function costSource() {
  if (!cost) return ''
  const { rounds, secondsPerSlice, threads, date, loadAtStart } = cost
  const source = relative(root, costPath)
  return (
    ` Iterations: median of ${rounds} slices of ${secondsPerSlice} s in turns, ${threads} threads, ${date.slice(0, 10)}, load ` +
    `${loadAtStart} before the start ([data](${source})).`
  )
}

/** Milliseconds of an iteration, and how many times the classifier's. */
function costOf(recipe) {
  const row = cost?.rows.find((row) => row.recipe === recipe)
  if (!row) return 'not measured'
  return `${row.msPerIteration.median.toFixed(0)} ms, ${row.timesClassifier.median.toFixed(1)}×`
}

function everyNumber(runs) {
  const names = unique(runs.flatMap(({ numbers }) => numbers.map(({ name }) => name)))
  const recipes = recipesOf(runs)
  const seeds = (recipe) => {
    const { length } = seedsOf(runs.filter((run) => run.recipe === recipe))
    return length === 1 ? '1 seed' : `${length} seeds`
  }
  return table(
    ['', ...recipes.map((recipe) => `\`${recipe}\`, ${seeds(recipe)}`)],
    names.map((name) => {
      const { unit } = runs.flatMap(({ numbers }) => numbers).find((number) => number.name === name)
      const cells = recipes.map((recipe) =>
        spread(
          runs.filter((run) => run.recipe === recipe).map((run) => numberOf(run, name)),
          formats[unit],
        ),
      )
      return [name.replaceAll('|', '\\|'), ...cells]
    }),
  )
}

function claimTable(runs) {
  return table(
    ['claim', 'what is compared', '', '', 'seeds', 'at this scale'],
    judgeClaims(runs).map(({ claim, sides, before, after, seeds, held }) => {
      const format = sides.startsWith('mean AUROC') ? score : percent
      return [claim, sides, format(before), format(after), seeds.length, held ? '**held**' : '**not held**']
    }),
  )
}

/** Mean accuracy over the seeds under all attacks at once, a line a recipe; dashed ones are JEM-1 under PGD. */
function curvesOf(runs, norm) {
  const lines = [
    ['', 'run', 'all'],
    [', JEM-1', 'run, JEM-1', 'pgd'],
  ]
  return recipesOf(runs).flatMap((recipe) =>
    lines.flatMap(([suffix, model, attack]) => {
      const curves = runs
        .filter((run) => run.recipe === recipe)
        .flatMap((run) => run.curves)
        .filter((curve) => curve.model === model && curve.attack === attack && curve.norm === norm)
      if (curves.length === 0) return []
      const points = curves[0].points.map(({ epsilon }, i) => ({
        epsilon,
        accuracy: statistic(curves.map((curve) => curve.points[i].accuracy)).mean,
      }))
      return [{ name: `${recipe}${suffix}`, points }]
    }),
  )
}

function chainsTable(runs) {
  const drawn = drawnOf(runs)
  if (drawn.length === 0) return ''
  const state = ({ blewUp, saturated, drifts }) =>
    [blewUp && 'blew up', saturated && 'saturated', drifts && 'not settled'].filter(Boolean).join(', ') || 'no fault'
  return table(
    [
      'recipe',
      'chains × steps',
      'found',
      'mean f(x) at the end',
      'of test images',
      'median L2 to the nearest training image: samples',
      'test images',
    ],
    drawn.map(({ recipe, samples: { longChains, neighbours } }) => [
      `\`${recipe}\``,
      `${longChains.chains} × ${longChains.last.step.toLocaleString('en')}`,
      state(longChains.verdict),
      longChains.last.f ? longChains.last.f.mean.toFixed(2) : 'not finite',
      longChains.data.fMean.toFixed(2),
      neighbours ? score(neighbours[1].median) : '–',
      neighbours ? score(neighbours[0].median) : '–',
    ]),
  )
}

const gridRow = (runs, base) => {
  const drawn = drawnOf(runs)
  const cell = (run) => `<img src="${base}${pictureOf(run)}" width="200" alt="Samples of ${run.recipe} on ${run.data}">`
  return table(
    drawn.map(({ recipe }) => `\`${recipe}\``),
    [drawn.map(cell)],
  )
}

const maskingLine = (runs) => {
  const failed = runs.flatMap((run) =>
    run.masking.filter(({ passed }) => !passed).map(({ finding }) => `${run.recipe}, seed ${run.seed}: ${finding}`),
  )
  const count = runs.flatMap(({ masking }) => masking).length
  return failed.length === 0
    ? `All ${count} checks for masked gradients passed.`
    : `${failed.length} of ${count} checks for masked gradients failed: ${failed.join('; ')}.`
}

function protocol({ settings, cpu, cores, date, versions, commit }, runs) {
  const [{ steps, trainingImages, on }] = runs
  const gaveUp = runs.filter((run) => run.gaveUp).length
  const seeds = seedsOf(runs)
  const rolledBack = runs.filter(({ rollbacks }) => rollbacks > 0).length
  const special = Object.entries(settings.ofData?.[runs[0].data] ?? {}).map(
    ([recipe, changes]) =>
      ` \`${recipe}\` here with ${Object.entries(changes)
        .map((change) => change.join(' '))
        .join(', ')}.`,
  )
  return (
    `${settings.model.toUpperCase()}, ${steps} iterations on ${trainingImages.toLocaleString('en')} training images, ` +
    `${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}; judged without noise on ${on.test.images.toLocaleString('en')} test images, attacked on ` +
    `${on.attacked.images}. Mean ± sample standard deviation over seeds. Of ${runs.length} runs ${rolledBack} rolled back and ` +
    `${gaveUp} gave up.${special.join('')} ${date.slice(0, 10)}, ${cpu}, ${cores} cores, langevin ${versions.langevin} (${commit}).`
  )
}

function pagesOf(path) {
  const document = JSON.parse(readFileSync(path, 'utf8'))
  const of = (data) => document.runs.filter((run) => run.data === data)
  const source = relative(root, path)
  const parts = unique(document.runs.map(({ data }) => data)).map((data) => {
    const runs = of(data)
    const pictures = ['linf', 'l2'].map((norm) => `evidence-${data}-${norm}.svg`)
    ;['linf', 'l2'].forEach((norm, i) => {
      const title = `${titles[data]}: accuracy under attack in ${norm === 'linf' ? 'L∞' : 'L2'}`
      pages.put(`docs/images/${pictures[i]}`, `${robustnessCurves(title, curvesOf(runs, norm))}\n`)
    })
    return [
      `## ${titles[data]}`,
      protocol(document, runs),
      claimTable(runs),
      everyNumber(runs),
      maskingLine(runs),
      `Accuracy under attack, all attacks at once; JEM-1 under PGD. In L∞, then in L2:`,
      pictures.map((name) => `![Accuracy under attack](images/${name})`).join('\n'),
      'Ten fresh samples of each class, seed 1:',
      gridRow(runs, 'images/'),
      chainsTable(runs),
    ].join('\n\n')
  })
  const { planned, runs: known } = document
  const missing = known.length < planned ? [`So far ${known.length} of ${planned} runs are made and judged.`] : []
  const all = [...missing, ...parts, `Data: [${source}](../${source}).`]
  pages.replaceParts('docs/evidence.md', { evidence: all.join('\n\n') })

  const digits = of('mnist')
  const [foreign] = oodSetsOf(digits[0])
  pages.replaceParts('README.md', {
    evidence: [
      ...missing,
      summary(digits, foreign),
      `${protocol(document, digits)} AUROC: digits against ${titles[foreign] ?? foreign}. ECE: 15 bins, before and after ` +
        'temperature scaling. Under attack: PGD, APGD-CE and APGD-DLR, 40 steps. Samples: fresh ones of a given class that ' +
        `the classifier takes for it, one seed. Data: [${source}](${source}).${costSource()}`,
      gridRow(digits, 'docs/images/'),
      claimTable(digits),
    ].join('\n\n'),
  })
}

const costPath = newest('-evidence-cost.json')
const cost = costPath && JSON.parse(readFileSync(costPath, 'utf8'))
const pages = new Pages('bench/evidence-pages.mjs', options.check)
if (positionals[0]) takeOver(positionals[0])
const path = newest('-evidence.json')
if (path) pagesOf(path)
