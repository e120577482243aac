// Pictures of gpu.json: the convolutions on the GPU's roofline, and SGLD against PyTorch.
import * as Plot from '@observablehq/plot'
import { color, draw } from '../../dist/eval/drawing.js'
import { distinctConvolutions, images, passesOf } from '../wide-resnet.mjs'
import { assumed, predictConvolution } from './prediction.mjs'

const passes = { forward: 'forward', dgrad: 'to the input' }

/** Every convolution of WRN-28-10, batch 64, by its operations per byte and its rate: predicted, or, where a document is
 *  given, measured, ours and cuDNN's. */
export function rooflinePlot(document) {
  const peak = document?.convolutions?.matrixPeakTflops ?? assumed.matrixPeak
  const copy = document?.memory?.copyGBs ? document.memory.copyGBs / 1e3 : assumed.copy
  const points = document ? measuredPoints(document.convolutions) : predictedPoints()
  const roof = [8, peak / copy, 3000].map((x) => ({ x, y: Math.min(peak, copy * x) }))
  const own = points.filter(({ who }) => who === 'langevin')
  const theirs = points.filter(({ who }) => who === 'cuDNN')
  const where = document ? document.gpu.name : `${assumed.gpu}, predicted, not measured`
  return draw(`Roofline of the convolutions of WRN-28-10, batch 64, bf16: ${where}`, {
    height: 300,
    x: {
      type: 'log',
      domain: [8, 3000],
      label: 'operations per byte of device memory',
      ticks: [10, 100, 1000],
      tickFormat: 'd',
    },
    y: { type: 'log', domain: [5, 1500], label: 'TFLOP/s', ticks: [10, 100, 1000], tickFormat: 'd' },
    legend: [
      { name: document ? 'langevin' : 'langevin, predicted', color: color(0), box: true },
      ...(theirs.length > 0 ? [{ name: 'cuDNN', color: color(1), box: true }] : []),
      { name: `${Math.round(peak)} TFLOP/s, ${copy.toFixed(1)} TB/s`, color: 'currentColor' },
    ],
    marks: [
      Plot.line(roof, { x: 'x', y: 'y', stroke: 'currentColor', strokeWidth: 1.5 }),
      Plot.dot(theirs, { x: 'x', y: 'y', stroke: color(1), r: 3.5, symbol: 'square' }),
      Plot.dot(own, { x: 'x', y: 'y', fill: document ? color(0) : 'none', stroke: color(0), r: 3.5 }),
    ],
  })
}

function predictedPoints() {
  return distinctConvolutions('wrn-28-10', images['wrn-28-10']).flatMap((layer) =>
    passesOf(layer)
      .filter((pass) => pass in passes)
      .map((pass) => {
        const { operations, bytes, microseconds } = predictConvolution(layer, pass, 64)
        return { who: 'langevin', x: operations / bytes, y: operations / microseconds / 1e6 }
      }),
  )
}

function measuredPoints({ rows }) {
  return rows
    .filter(({ batch, pass }) => batch === 64 && pass in passes)
    .flatMap(({ operations, bytes, langevin, pytorch }) =>
      [
        { who: 'langevin', x: operations / bytes, y: langevin?.tflops },
        { who: 'cuDNN', x: operations / bytes, y: pytorch?.tflops },
      ].filter(({ y }) => y > 0),
    )
}

/** Image-steps per second as a multiple of PyTorch's, one bar a net and precision; undefined without PyTorch's. */
export function ratioBars({ sgld, gpu }) {
  const bars = sgld.rows
    .filter(({ ratio }) => ratio)
    .map(({ net, batch, precision, ratio }) => ({
      name: `${net.replace('wrn-', '')}, ${batch}`,
      precision,
      ...ratio,
    }))
  if (bars.length === 0) return undefined
  const precisions = ['bf16', 'tf32', 'fp32']
  return draw(`SGLD against the fastest PyTorch on ${gpu.name}: image-steps per second as a multiple of PyTorch's`, {
    height: 300,
    fx: { label: 'WideResNet, batch', domain: [...new Set(bars.map(({ name }) => name))] },
    x: { axis: null, domain: precisions },
    y: { label: "times PyTorch's", zero: true, ticks: 5, grid: true },
    legend: precisions.map((name, i) => ({ name, color: color(i), box: true })),
    marks: [
      Plot.barY(bars, {
        fx: 'name',
        x: 'precision',
        y: 'median',
        fill: ({ precision }) => color(precisions.indexOf(precision)),
        inset: 0.5,
      }),
      Plot.ruleX(bars, { fx: 'name', x: 'precision', y1: 'min', y2: 'max', stroke: 'currentColor' }),
      Plot.ruleY([1], { stroke: 'currentColor', strokeDasharray: '4 3' }),
      Plot.ruleY([0], { stroke: 'currentColor' }),
    ],
  })
}
