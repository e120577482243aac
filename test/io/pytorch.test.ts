import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ShapeError } from '../../src/errors.ts'
import {
  convWeightFromPyTorch,
  convWeightToPyTorch,
  imagesFromPyTorch,
  imagesToPyTorch,
  linearWeightFromPyTorch,
  linearWeightToPyTorch,
} from '../../src/io/pytorch.ts'

/** Row-major element of an array by its indices. */
const at = (data: ArrayLike<number>, shape: number[], ...index: number[]) =>
  data[index.reduce((offset, i, axis) => offset * shape[axis] + i, 0)]

const extent = fc.integer({ min: 0, max: 4 })
const array = (...extents: fc.Arbitrary<number>[]) =>
  fc.tuple(...extents).map((shape) => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  }))

test('a convolution keeps each weight at its output, input and position', () => {
  fc.assert(
    fc.property(array(extent, extent, extent, extent), ({ data, shape }) => {
      const [out, cin, kh, kw] = shape
      const ours = convWeightFromPyTorch(data, shape)
      expect(ours.shape).toEqual([kh, kw, cin, out])
      for (let o = 0; o < out; o++)
        for (let i = 0; i < cin; i++)
          for (let y = 0; y < kh; y++)
            for (let x = 0; x < kw; x++) expect(at(ours.data, ours.shape, y, x, i, o)).toBe(at(data, shape, o, i, y, x))
      expect(convWeightToPyTorch(ours.data, ours.shape)).toEqual({ data, shape })
    }),
    { numRuns: 40 },
  )
})

test('an image keeps each value at its channel and position', () => {
  fc.assert(
    fc.property(array(extent, extent, extent, extent), ({ data, shape }) => {
      const [batch, channels, height, width] = shape
      const ours = imagesFromPyTorch(data, shape)
      expect(ours.shape).toEqual([batch, height, width, channels])
      for (let n = 0; n < batch; n++)
        for (let c = 0; c < channels; c++)
          for (let y = 0; y < height; y++)
            for (let x = 0; x < width; x++)
              expect(at(ours.data, ours.shape, n, y, x, c)).toBe(at(data, shape, n, c, y, x))
      expect(imagesToPyTorch(ours.data, ours.shape)).toEqual({ data, shape })
    }),
    { numRuns: 40 },
  )
})

test('a linear weight is transposed', () => {
  const torch = { data: Int32Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] }
  const ours = { data: Int32Array.of(1, 4, 2, 5, 3, 6), shape: [3, 2] }
  expect(linearWeightFromPyTorch(torch.data, torch.shape)).toEqual(ours)
  expect(linearWeightToPyTorch(ours.data, ours.shape)).toEqual(torch)
})

test('the array type is kept and the argument is left alone, for a Buffer too', () => {
  const source = Buffer.from([1, 2, 3, 4])
  const { data } = linearWeightFromPyTorch(source, [2, 2])
  expect([...data]).toEqual([1, 3, 2, 4])
  expect([...source]).toEqual([1, 2, 3, 4])
  expect(linearWeightFromPyTorch(BigInt64Array.of(1n, 2n), [1, 2]).data).toEqual(BigInt64Array.of(1n, 2n))
})

test('a shape of other rank or size is refused by name', () => {
  expect(() => convWeightFromPyTorch(new Float32Array(4), [2, 2])).toThrow(ShapeError)
  expect(() => convWeightFromPyTorch(new Float32Array(4), [2, 2])).toThrow(
    'convWeightFromPyTorch: expected 4 dimensions, got shape [2, 2]',
  )
  expect(() => linearWeightToPyTorch(new Float32Array(5), [2, 2])).toThrow(
    'linearWeightToPyTorch: shape [2, 2] does not fit data of 5 elements',
  )
})
