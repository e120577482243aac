// Makes the bundled subsets in data/ from the original IDX files (plain or .gz), and prints their SHA-256 sums.
//
// Usage: node scripts/make-data.mjs <MNIST folder> <Fashion-MNIST folder>
//
// A subset has the same number of images of every class, spread evenly over the class's images, in the order of the
// original file. (The first half of MNIST's test file is easier than the second: its first images would flatter.)
// The same zlib gives the same bytes; data/README.md tells which was used.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync, gzipSync } from 'node:zlib'

const CLASSES = 10
const [mnist, fashion] = process.argv.slice(2)
if (!mnist || !fashion) {
  process.stderr.write('usage: node scripts/make-data.mjs <MNIST folder> <Fashion-MNIST folder>\n')
  process.exit(2)
}

// SHA-256 of the unpacked originals.
const SUBSETS = [
  {
    name: 'mnist-train-10000',
    perClass: 1000,
    images: [mnist, 'train-images-idx3-ubyte', 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db'],
    labels: [mnist, 'train-labels-idx1-ubyte', '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5'],
  },
  {
    name: 'mnist-test-2000',
    perClass: 200,
    images: [mnist, 't10k-images-idx3-ubyte', '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7'],
    labels: [mnist, 't10k-labels-idx1-ubyte', 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2'],
  },
  {
    name: 'fashion-mnist-train-5000',
    perClass: 500,
    images: [fashion, 'train-images-idx3-ubyte', 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888'],
    labels: [fashion, 'train-labels-idx1-ubyte', 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9'],
  },
  {
    name: 'fashion-mnist-test-2000',
    perClass: 200,
    images: [fashion, 't10k-images-idx3-ubyte', '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b'],
    labels: [fashion, 't10k-labels-idx1-ubyte', '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34'],
  },
]

function original([folder, name, sha256]) {
  const plain = join(folder, name)
  const bytes = existsSync(plain) ? readFileSync(plain) : gunzipSync(readFileSync(`${plain}.gz`))
  const got = sha(bytes)
  if (got !== sha256) throw new Error(`${plain}: expected SHA-256 ${sha256}, got ${got}: not the original file`)
  return bytes
}

/** The indices of floor(i · n / k), i = 0..k-1, among each class's n images, sorted. */
function evenlySpread(labels, perClass) {
  const chosen = []
  for (let label = 0; label < CLASSES; label++) {
    const indices = [...labels.keys()].filter((index) => labels[index] === label)
    for (let i = 0; i < perClass; i++) chosen.push(indices[Math.floor((i * indices.length) / perClass)])
  }
  return chosen.sort((a, b) => a - b)
}

/** An IDX file of unsigned bytes. */
function idx(shape, data) {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.set([0, 0, 8, shape.length])
  shape.forEach((extent, axis) => {
    header.writeUInt32BE(extent, 4 + 4 * axis)
  })
  return Buffer.concat([header, data])
}

/** gzip without a time and with "unknown" for the operating system. */
function gzip(bytes) {
  const packed = gzipSync(bytes, { level: 9 })
  packed[9] = 255
  return packed
}

function sha(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

const target = join(dirname(fileURLToPath(import.meta.url)), '..', 'data')
for (const subset of SUBSETS) {
  const images = original(subset.images).subarray(16)
  const labels = original(subset.labels).subarray(8)
  const chosen = evenlySpread(labels, subset.perClass)
  const pixels = Buffer.concat(chosen.map((index) => images.subarray(index * 784, (index + 1) * 784)))
  const files = {
    images: gzip(idx([chosen.length, 28, 28], pixels)),
    labels: gzip(
      idx(
        [chosen.length],
        Uint8Array.from(chosen, (index) => labels[index]),
      ),
    ),
  }
  for (const [part, bytes] of Object.entries(files)) {
    writeFileSync(join(target, `${subset.name}-${part}.idx.gz`), bytes)
    process.stdout.write(`${sha(bytes)}  ${subset.name}-${part}.idx.gz\n`)
  }
}
