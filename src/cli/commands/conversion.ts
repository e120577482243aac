import type { Command } from 'commander'
import { choiceFlag, wholeFlag } from '../range.ts'

/** The flags of ConvertOptions. */
export function addConversionOptions(command: Command): Command {
  const channels = choiceFlag('--channels', ['1', '3'])
  return command
    .option(
      '--resize <n>',
      'make all images n×n pixels, bilinear with antialiasing; a model can tell resized images by their smoothness',
      wholeFlag('--resize', { min: 1, max: 4096 }),
    )
    .option('--channels <1|3>', 'make all images grey (ITU-R 601 luma) or RGB (grey repeated)', (text) =>
      Number(channels(text)),
    )
}
