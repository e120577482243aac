// Pictures of a result of bench/run.mjs: ratios to PyTorch, the convolutions on the CPU's roofline, scaling curves.
import * as Plot from '@observablehq/plot'
import { color, draw } from '../../dist/eval/drawing.js'
import { shortName } from './rows.mjs'

/** How many times as fast as PyTorch, a bar a row; undefined without PyTorch's figures. */
export function ratioBars({ rows, cpu, threads }) {
  const bars = rows
    .filter(({ group }) => group === 'sgld' || group === 'iteration' || group === 'inference')
    .flatMap((row) => {
      const ratio = row.sides.find(({ name }) => name === 'pytorch')?.ratio
      return ratio ? [{ name: shortName(row), ...ratio }] : []
    })
  if (bars.length === 0) return undefined
  const names = bars.map(({ name }) => name)
  return draw(`langevin against PyTorch on ${cpu}, ${threads} threads: speed as a multiple of PyTorch's`, {
    height: 270,
    marginBottom: 40,
    x: { domain: names, label: null },
    y: { label: "times PyTorch's speed", zero: true, ticks: 5, grid: true },
    marks: [
      Plot.barY(bars, { x: 'name', y: 'median', fill: color(0), inset: 4 }),
      Plot.ruleX(bars, { x: 'name', y1: 'min', y2: 'max', stroke: 'currentColor' }),
      Plot.text(bars, {
        x: 'name',
        y: 'max',
        text: ({ median }) => `${median.toFixed(2)}×`,
        dy: -8,
        fill: 'currentColor',
      }),
      Plot.ruleY([1], { stroke: 'currentColor', strokeDasharray: '4 3' }),
      Plot.ruleY([0], { stroke: 'currentColor' }),
    ],
  })
}

/** Every convolution, forward and to the input, by its operations per byte and its rate, under the measured limits. */
export function rooflinePlot({ kernels, limits, cpu, threads }) {
  const { gflops: peak, copyGBs: copy } = limits
  const points = kernels.convolutions
    .filter(({ pass }) => pass !== 'wgrad')
    .map(({ net, operations, bytes, seconds }) => ({ net, x: operations / bytes, y: operations / seconds / 1e9 }))
  const nets = [...new Set(points.map(({ net }) => net))]
  const [left, right] = [0.8 * Math.min(...points.map(({ x }) => x)), 1.25 * Math.max(...points.map(({ x }) => x))]
  const roof = [Math.min(left, peak / copy), peak / copy, right].map((x) => ({ x, y: Math.min(peak, copy * x) }))
  return draw(`Roofline of our convolutions on ${cpu}, ${threads} threads`, {
    height: 300,
    x: { type: 'log', label: 'operations per byte that must be moved', ticks: 4, tickFormat: 'd' },
    y: { type: 'log', label: 'GFLOP/s', ticks: 4, tickFormat: 'd' },
    legend: [
      ...nets.map((name, i) => ({ name: name.toUpperCase(), color: color(i), box: true })),
      { name: `${Math.round(peak)} GFLOP/s, ${Math.round(copy)} GB/s`, color: 'currentColor' },
    ],
    marks: [
      Plot.line(roof, { x: 'x', y: 'y', stroke: 'currentColor', strokeWidth: 1.5 }),
      Plot.dot(points, { x: 'x', y: 'y', stroke: ({ net }) => color(nets.indexOf(net)), r: 3.5 }),
    ],
  })
}

const titles = { batch: 'images a batch', width: 'width', depth: 'depth', 'image size': 'pixels a side' }

/** One scaling curve: image-steps per second as one thing grows, both axes logarithmic. */
export function scalingPlot({ grows, points }, { cpu }) {
  const names = { langevin: 'langevin', pytorch: 'PyTorch' }
  const lines = Object.entries(names).flatMap(([key, name]) =>
    points.flatMap((point) => (point[key] ? [{ name, value: point.value, ...point[key] }] : [])),
  )
  const present = Object.values(names).filter((name) => lines.some((line) => line.name === name))
  const stroke = ({ name }) => color(present.indexOf(name))
  return draw(`SGLD on ${cpu} as ${grows} grows: image-steps per second`, {
    x: {
      type: 'log',
      label: titles[grows] ?? grows,
      ticks: points.map(({ value }) => value),
      tickFormat: 'd',
    },
    y: { type: 'log', label: 'image-steps/s', ticks: 4, tickFormat: '~s', grid: true },
    legend: present.map((name, i) => ({ name, color: color(i) })),
    marks: [
      Plot.line(lines, { x: 'value', y: 'median', z: 'name', stroke }),
      Plot.ruleX(lines, { x: 'value', y1: 'min', y2: 'max', stroke }),
      Plot.dot(lines, { x: 'value', y: 'median', fill: stroke, r: 3 }),
    ],
  })
}
