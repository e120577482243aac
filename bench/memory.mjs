// Peak memory of one SGLD step, ours and PyTorch's: the most that is resident during the step, less what the process held
// before it had a network, less the parameters. What a side keeps besides (packed weights, sign bits, caches) counts.
import { start } from './competitors.mjs'
import { images } from './wide-resnet.mjs'

const names = ['langevin', 'pytorch']

/** { net, batch, langevin, pytorch, ratio }, each side { idleBytes, parameterBytes, peakBytes, beyondBytes }, ratio
 *  PyTorch's over ours; mode is the one in which PyTorch was fastest. */
export async function measureMemory({ threads, tiny, mode = 'eager' }) {
  const row = tiny
    ? { net: 'wrn-10-1', batch: 2, size: 8, channels: 1 }
    : { net: 'wrn-28-10', batch: 8, ...images['wrn-28-10'] }
  const settings = { ...row, what: 'sgld', steps: 1, classes: 10, stepSize: 1, noiseStd: 0.01, threads }
  const result = { ...row, threads }
  for (const name of names) {
    const peer = start(name, settings)
    if (!peer) continue
    try {
      await peer.ready()
      if (name === 'pytorch') await peer.ask('use_mode', { mode })
      const figures = await peer.ask('memory')
      const { idleBytes, parameterBytes, peakBytes } = figures
      result[name] = { ...figures, beyondBytes: peakBytes - idleBytes - parameterBytes }
    } finally {
      peer.kill()
    }
  }
  if (result.pytorch) result.ratio = result.pytorch.beyondBytes / result.langevin.beyondBytes
  return result
}
