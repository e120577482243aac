import { expect, test } from 'vitest'
import { signatures } from '../../src/native/contract.ts'
import { nativeDevice } from '../../src/native/device.ts'
import { devices } from '../ops/drive.ts'

test.each(devices)('%s: TypeScript calls each op with the arguments that the addon reads', (device) => {
  const { addon } = nativeDevice(device)
  expect(addon.backend).toBe(device)
  expect(addon.signatures).toEqual(signatures)
  expect(Object.keys(addon.ops).sort()).toEqual(Object.keys(signatures).sort())
})
