import type { Command } from 'commander'
import type { CliContext } from '../context.ts'

export interface GetOptions {
  /** Also what is optional. */
  extra?: boolean
  mirror?: string
}

export function declareData(program: Command, context: CliContext): void {
  const data = program
    .command('data')
    .summary('list, download and check data sets')
    .description(
      'Data sets that --data and --ood find by name. They are kept in $LANGEVIN_DATA, by default in the folder langevin of ' +
        "the user's cache.",
    )
    .helpCommand(false)

  data
    .command('list')
    .summary('data sets and where they are')
    .description('Data sets, their sizes, and whether they are installed.')
    .action(async () => {
      const { listData } = await import('../run/data.ts')
      listData(context)
    })

  data
    .command('get')
    .summary('download and install a data set')
    .description(
      'Downloads the official files of a data set, checks their published MD5 or SHA-256, and installs them. Stopped or ' +
        'broken off, it goes on where it was when started again.',
    )
    .argument('<name>', 'mnist, fashion-mnist, cifar10, cifar100 or svhn')
    .option('--extra', "also what is optional: SVHN's extra_32x32.mat, 531,131 images, 1.3 GB")
    .option('--mirror <url>', 'take <url>/<file name> instead of the official addresses')
    .action(async (name: string, options: GetOptions) => {
      const { getData } = await import('../run/data.ts')
      await getData(name, options, context)
    })

  data
    .command('check')
    .summary('check installed data sets')
    .description('Compares installed files with their published MD5 or SHA-256. Exit code 1 where one differs.')
    .argument('[name]', 'default: all that are installed')
    .action(async (name: string | undefined) => {
      const { checkData } = await import('../run/data.ts')
      await checkData(name, context)
    })
}
