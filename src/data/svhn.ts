import { DataError } from '../errors.ts'
import { readBytes } from '../io/read-file.ts'
import { numberedClasses } from './class-names.ts'
import { type Dataset, limitedCount, type Split } from './dataset.ts'
import { type MatArray, readMat } from './mat.ts'

/** Reads a file of SVHN's format 2, cropped digits (http://ufldl.stanford.edu/housenumbers): `X` [height, width, 3, count]
 *  of bytes and `y` [count, 1], 1 to 9 for these digits and 10 for the digit 0, in a MATLAB 5 file. Labels become the
 *  digits. Throws DataError: unreadable, not such a file, a label out of range. */
export function readSvhn(path: string, options: { name: string; split: Split; limit?: number }): Dataset {
  const arrays = readMat(readBytes(path), path)
  const { X, y } = { X: arrays.get('X'), y: arrays.get('y') }
  if (!X || !y) {
    const names = [...arrays.keys()].join(', ') || 'none'
    throw new DataError(`${path}: expected the arrays X and y, got ${names}`, {
      hint: 'not the cropped digits of SVHN',
    })
  }
  // MATLAB drops a last extent of 1.
  const [height, width, channels, total = 1] = X.shape
  const shaped = (X.shape.length === 3 || X.shape.length === 4) && channels === 3
  if (!shaped || !(X.data instanceof Uint8Array) || X.data.length === 0) {
    throw new DataError(
      `${path}: X must be bytes [height, width, 3, count], none of them 0, got [${X.shape.join(', ')}]`,
    )
  }
  const labels = digits(y, total, path)
  const count = limitedCount(total, options.limit)
  return {
    name: options.name,
    split: options.split,
    images: rowMajor(X.data, count, height, width),
    labels: labels.slice(0, count),
    count,
    height,
    width,
    channels: 3,
    classes: 10,
    classNames: numberedClasses(10),
  }
}

function digits(y: MatArray, count: number, path: string): Uint8Array {
  if (y.data.length !== count) throw new DataError(`${path}: expected ${count} labels in y, got ${y.data.length}`)
  return Uint8Array.from(y.data, (label, i) => {
    if (Number.isInteger(label) && label >= 1 && label <= 10) return label % 10
    throw new DataError(`${path}: labels must be 1..10, got ${label} at index ${i}`, { hint: 'the file is corrupt' })
  })
}

/** Of each image, planes of columns become rows of pixels. */
function rowMajor(columns: Uint8Array, count: number, height: number, width: number): Uint8Array {
  const plane = height * width
  const images = new Uint8Array(count * plane * 3)
  let to = 0
  for (let n = 0; n < count; n++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const from = 3 * plane * n + height * column + row
        images[to++] = columns[from]
        images[to++] = columns[from + plane]
        images[to++] = columns[from + 2 * plane]
      }
    }
  }
  return images
}
