/** Parameters and buffers to and from PyTorch's layouts, under the released code's names. */
import { CheckpointError } from '../errors.ts'
import {
  convWeightFromPyTorch,
  convWeightToPyTorch,
  linearWeightFromPyTorch,
  linearWeightToPyTorch,
  type NumericArray,
} from '../io/pytorch.ts'
import type { SafetensorsTensor } from '../io/safetensors.ts'
import { type HostArray, hostArray } from '../tensor/dtype.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** Tensors that the released code's state dict has and its model never uses (JEM's dead heads). */
const unused = [/^f\.linear\./, /^energy_output\./]

/** A host copy of a parameter in PyTorch's layout: convolutions OIHW, linear [out, in], ActNorm [1, C, 1, 1]. */
export async function toPyTorch(name: string, x: Tensor): Promise<SafetensorsTensor> {
  const host = await x.data()
  if (x.rank === 4) return entry(convWeightToPyTorch(host as NumericArray, x.shape))
  if (x.rank === 2) return entry(linearWeightToPyTorch(host as NumericArray, x.shape))
  if (isActNorm(name)) return entry({ data: host, shape: [1, x.size, 1, 1] })
  return entry({ data: host, shape: [...x.shape] })
}

/** Writes `value`, in PyTorch's layout, into the parameter. Throws CheckpointError where it does not fit. */
export function fromPyTorch(name: string, x: Tensor, value: SafetensorsTensor): void {
  const { data, shape } = ours(name, x, value)
  if (shape.length !== x.rank || shape.some((extent, i) => extent !== x.shape[i])) {
    throw new CheckpointError(
      `${name}: the model's shape is [${x.shape.join(', ')}], the file's [${shape.join(', ')}]`,
      {
        hint: 'the checkpoint belongs to another depth, width, number of channels or classes',
      },
    )
  }
  const host: HostArray = hostArray(x.dtype, x.size)
  for (let i = 0; i < host.length; i++) host[i] = Number(data[i])
  x.storage.device.write(x.handle, host)
  x.changed()
}

/** Loads every parameter and buffer of `stateDict` from `values`, which may also hold the released code's dead heads.
 *  Checks all names and shapes before it changes anything. Throws CheckpointError. */
export function loadStateDict(
  stateDict: ReadonlyMap<string, Tensor>,
  values: ReadonlyMap<string, SafetensorsTensor>,
): void {
  // A buffer such as ActNorm's `initialized` may be absent from files of other programs: it is then taken as set.
  const missing = [...stateDict.keys()].filter((name) => !values.has(name) && !name.endsWith('.initialized'))
  const unknown = [...values.keys()].filter(
    (name) => !stateDict.has(name) && !unused.some((pattern) => pattern.test(name)),
  )
  if (missing.length > 0 || unknown.length > 0) {
    const list = (names: string[]) =>
      `${names.slice(0, 3).join(', ')}${names.length > 3 ? `, … (${names.length})` : ''}`
    throw new CheckpointError(
      'the file does not fit the model:' +
        (missing.length > 0 ? ` missing ${list(missing)}` : '') +
        (unknown.length > 0 ? ` unknown ${list(unknown)}` : ''),
      { hint: 'check the depth, the norm and whether the energy head is separate' },
    )
  }
  for (const [name, x] of stateDict) {
    const value = values.get(name)
    if (value && ours(name, x, value).data.length !== x.size) fromPyTorch(name, x, value)
  }
  for (const [name, x] of stateDict) {
    const value = values.get(name)
    if (value) fromPyTorch(name, x, value)
    else x.native.fill(x.handle, x.size, 1)
  }
}

function isActNorm(name: string): boolean {
  return /\.(loc|scale)$/.test(name)
}

function ours(
  name: string,
  x: Tensor,
  value: SafetensorsTensor,
): { data: ArrayLike<number | bigint>; shape: readonly number[] } {
  if (value.dtype === 'BF16') throw new CheckpointError(`${name}: F32 or F64 is needed, got BF16`)
  const { data, shape } = value
  if (x.rank === 4 && shape.length === 4) return convWeightFromPyTorch(data as NumericArray, shape)
  if (x.rank === 2 && shape.length === 2) return linearWeightFromPyTorch(data as NumericArray, shape)
  if (x.rank === 1 && isActNorm(name)) return { data, shape: [data.length] }
  return { data, shape }
}

function entry({ data, shape }: { data: HostArray | NumericArray; shape: number[] }): SafetensorsTensor {
  if (data instanceof Float32Array) return { dtype: 'F32', shape, data: data as Float32Array }
  if (data instanceof Float64Array) return { dtype: 'F64', shape, data: data as Float64Array }
  if (data instanceof Int32Array) return { dtype: 'I32', shape, data: data as Int32Array }
  return { dtype: 'U8', shape, data: data as Uint8Array }
}
