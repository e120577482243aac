import { noGrad } from '../autograd/graph.ts'
import { assign, clone } from '../ops/cast.ts'
import { concat, slice } from '../ops/shape.ts'
import type { Generator } from '../random/generator.ts'
import { type Captured, capture, replayLanes } from '../tensor/capture.ts'
import { threadCount } from '../tensor/memory.ts'
import { keep, scope } from '../tensor/scope.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** A core's own images, their labels, and the capture of a step of their chains. */
interface ChainLane {
  x: Tensor
  labels?: Tensor
  captured: Captured
}

/**
 * Chains on a CPU, `images` of a batch at a time on each core by itself: it takes them through all their steps before it
 * turns to the next, so that the feature maps of a small net never leave its cache and no core waits for another within
 * a layer. As chains do not see each other, and random numbers have places in the batch, the bits are those of the whole
 * batch at once, for any number of cores.
 *
 * `step` enqueues one step in place on x, with the labels; it draws from `generator` alone, and equally often each time.
 */
export class ChainLanes {
  private readonly images: number
  private readonly generator: Generator
  private readonly step: (x: Tensor, labels: Tensor | undefined) => void
  private readonly lanes = new Map<string, ChainLane>()

  /** `images`: a multiple of 4, as random numbers come in fours. */
  constructor(images: number, generator: Generator, step: (x: Tensor, labels: Tensor | undefined) => void) {
    this.images = images
    this.generator = generator
    this.step = step
  }

  /** `steps` steps in place on x [batch, …], labels i32 [batch]. */
  run(x: Tensor, labels: Tensor | undefined, steps: number): void {
    const [batch, ...image] = x.shape
    let draws = 0
    const moved = scope(() =>
      noGrad(() => {
        const results: Tensor[] = []
        for (let first = 0; first < batch; ) {
          const round: { lane: ChainLane; first: number }[] = []
          for (let core = 0; core < threadCount() && first < batch; core++) {
            const images = Math.min(this.images, batch - first)
            const part = slice(x, [first, ...image.map(() => 0)], [images, ...image])
            const lane = this.laneOf(core, part, labels && slice(labels, [first], [images]))
            round.push({ lane, first })
            draws = lane.captured.draws
            first += images
          }
          replayLanes(
            round.map(({ lane: { captured }, first }) => ({ captured, firstElement: (first * x.size) / batch })),
            steps,
          )
          results.push(...round.map(({ lane }) => clone(lane.x)))
        }
        return concat(results)
      }),
    )
    assign(x, moved)
    moved.dispose()
    this.generator.skip(steps * draws)
  }

  /** The core's lane for so many images, which holds these now. */
  private laneOf(core: number, images: Tensor, labels: Tensor | undefined): ChainLane {
    const key = `${core} ${images.shape.join()} ${labels !== undefined}`
    const known = this.lanes.get(key)
    if (known) {
      assign(known.x, images)
      if (labels) assign(known.labels!, labels)
      return known
    }
    const x = keep(clone(images))
    const own = labels && keep(clone(labels))
    try {
      const captured = capture(() => this.step(x, own), { device: x.device, generator: this.generator })
      const lane = { x, labels: own, captured }
      this.lanes.set(key, lane)
      return lane
    } catch (error) {
      x.dispose()
      own?.dispose()
      throw error
    }
  }

  dispose(): void {
    for (const { x, labels, captured } of this.lanes.values()) {
      captured.dispose()
      x.dispose()
      labels?.dispose()
    }
    this.lanes.clear()
  }
}
