import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { idx } from '../data/make-files.ts'

/** `count` images of size×size pixels as a pair of IDX files in `folder`: class k is a bright bar at row k·2 on a dim,
 *  uneven ground. Returns the path of the images. */
export function writeBars(folder: string, count = 60, { size = 12, classes = 4, split = 'train' } = {}): string {
  const labels = Array.from({ length: count }, (_, i) => i % classes)
  const pixels = new Uint8Array(count * size * size)
  for (const [i, label] of labels.entries()) {
    for (let p = 0; p < size * size; p++) {
      const row = Math.floor(p / size)
      pixels[i * size * size + p] = (row >> 1 === label ? 200 : 20) + ((i * 31 + p * 17) % 40)
    }
  }
  const stem = split === 'train' ? 'train' : 't10k'
  const images = join(folder, `${stem}-images-idx3-ubyte`)
  writeFileSync(images, idx([count, size, size], pixels))
  writeFileSync(join(folder, `${stem}-labels-idx1-ubyte`), idx([count], labels))
  return images
}

/** Settings of a run of a second or two: wrn-10-1, 4 classes. */
export const tinyRun =
  '--model wrn-10-1 --steps 6 --sgld-steps 2 --batch 4 --buffer-size 16 --checkpoint-every 2 --validation-size 8 --threads 1'

/** Every file below `folder` with a digest of its content: what must not change. */
export function snapshot(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const path = join(folder, name)
    found[name] = lstatSync(path).isFile() ? createHash('sha1').update(readFileSync(path)).digest('hex') : 'folder'
  }
  return found
}
