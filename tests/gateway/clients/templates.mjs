// The methods that build templates: one build with every step, looked at from within.
// What a step installs is not here, where there is no network: programs of the same names note how
// they were called, which is what a step is.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Sandbox, Template, waitForPort } from '@e2b/code-interpreter'
import { refused, traced, until, works } from './book.mjs'

const kind = traced('Template.static', Template)
const PREPARE = `
mkdir bin && cd bin
printf '#!/bin/sh\\necho "$(basename $0) $*" >> /home/user/called\\n' > stub
chmod 755 stub
for name in apt-get pip npm bun mcp-gateway devcontainer sudo; do ln -s stub $name; done
: > ../called && chmod 666 ../called
echo 'export PATH=/home/user/bin:$PATH' > ../.bash_profile
`
const PREPARE_ROOT = 'cp /home/user/.bash_profile /root/; touch /devcontainer.up'
const IMAGES = {
  ...Object.fromEntries(
    ['Alpine', 'Arch', 'Bun', 'Debian', 'Fedora', 'Node', 'Python', 'Ubuntu'].map((name) => [`from${name}Image`, []])
  ),
  fromImage: ['example.org/image'],
  fromAWSRegistry: ['image', { accessKeyId: 'a', secretAccessKey: 'b', region: 'c' }],
  fromGCPRegistry: ['image', { serviceAccountJSON: {} }],
}

// A template, described step by step.
const described = (place, ...steps) =>
  steps.reduce((made, [name, ...given]) => traced('Template', made)[name](...given), Template({ fileContextPath: place }))

// What a sandbox of a template tells.
const inside = async (name, look) => {
  const box = await Sandbox.create(name)
  try {
    await look(async (command) => (await box.commands.run(command)).stdout)
  } finally {
    await box.kill()
  }
}

async function everyStep(place) {
  await writeFile(join(place, 'one'), 'one')
  await writeFile(join(place, 'two'), 'two')
  const made = described(
    place,
    ['fromBaseImage'],
    ['runCmd', PREPARE],
    ['runCmd', PREPARE_ROOT, { user: 'root' }],
    ['setEnvs', { FROM_TEMPLATE: 'yes' }],
    ['copy', 'one', '/home/user/copied'],
    ['copyItems', [{ src: 'two', dest: '/home/user/items/' }]],
    ['makeDir', '/home/user/new/deep'],
    ['makeSymlink', 'copied', '/home/user/link'],
    ['rename', '/home/user/items/two', '/home/user/renamed'],
    ['runCmd', 'touch gone'],
    ['remove', '/home/user/gone'],
    ['runCmd', 'git init -q --bare bare'],
    ['gitClone', '/home/user/bare', '/home/user/cloned'],
    ['aptInstall', 'tree'],
    ['pipInstall', 'six'],
    ['npmInstall', 'left-pad'],
    ['bunInstall', 'right-pad'],
    ['setUser', 'root'],
    ['runCmd', 'id -un > /who'],
    ['setUser', 'user'],
    ['setWorkdir', '/home/user/new'],
    ['skipCache'],
    ['runCmd', 'date +%N > stamp']
  )
  let said = ''
  const info = await kind.build(made, 'js-steps', { onBuildLogs: (one) => (said += one.message) })
  let first
  await inside('js-steps', async (look) => {
    works('Template.static.build', info.name === 'js-steps' && said.includes('RUN'))
    works('Template.fromBaseImage', (await look('echo $HOME')) === '/home/user\n')
    works('Template.runCmd', (await look('ls ~/bin/stub')).includes('stub'))
    works('Template.setEnvs', (await look('echo $FROM_TEMPLATE')) === 'yes\n')
    works('Template.copy', (await look('cat ~/copied')) === 'one')
    works('Template.copyItems', (await look('cat ~/renamed')) === 'two')
    works('Template.rename', (await look('ls ~/items')) === '')
    works('Template.makeDir', (await look('stat -c %F ~/new/deep')) === 'directory\n')
    works('Template.makeSymlink', (await look('readlink ~/link')) === 'copied\n')
    works('Template.remove', (await look('ls ~/gone 2>&- || echo none')) === 'none\n')
    works('Template.gitClone', (await look('ls -d ~/cloned/.git')).includes('.git'))
    const called = await look('cat ~/called')
    works('Template.aptInstall', called.includes('apt-get install -y') && called.includes('tree'))
    works('Template.pipInstall', called.includes('pip install six'))
    works('Template.npmInstall', called.includes('npm install') && called.includes('left-pad'))
    works('Template.bunInstall', called.includes('bun install') && called.includes('right-pad'))
    works('Template.setUser', (await look('cat /who')) === 'root\n')
    works('Template.setWorkdir', (await look('pwd')) === '/home/user/new\n')
    first = await look('cat stamp')
  })
  const whole = JSON.parse(await kind.toJSON(made))
  works('Template.static.toJSON', whole.steps.filter((one) => one.type === 'COPY').length === 2)
  const plain = described(place, ['fromImage', 'debian'], ['runCmd', 'echo x'])
  works('Template.static.toDockerfile', kind.toDockerfile(plain).includes('RUN echo x'))
  await kind.build(made, 'js-steps')
  await inside('js-steps', async (look) => {
    works('Template.skipCache', (await look('cat stamp')) !== first)
  })
}

async function starts(place) {
  const listens = waitForPort(8000)
  const made = described(
    place,
    ['fromTemplate', 'js-steps'],
    ['setStartCmd', 'python3 -m http.server 8000', listens]
  )
  const info = await kind.buildInBackground(made, 'js-started')
  let status
  const seen = await until(async () => {
    status = (await kind.getBuildStatus(info)).status
    return status === 'ready' || status === 'error'
  })
  await inside('js-started', async (look) => {
    works('Template.static.buildInBackground', status === 'ready')
    works('Template.static.getBuildStatus', seen && (await look('echo up')) === 'up\n')
    works('Template.setStartCmd', (await look("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).includes('http.server 8000'))
    works('Template.fromTemplate', (await look('cat ~/copied')) === 'one')
  })
  for (const name of ['mcp-gateway', 'devcontainer']) {
    await kind.build(described(place, ['fromTemplate', 'js-steps']), name)
  }
  const dockerfile = 'FROM e2bdev/base\nRUN echo dockerfile > /by'
  const asked = ['setReadyCmd', 'touch /home/user/asked']
  await kind.build(described(place, ['fromDockerfile', dockerfile], asked), 'js-dockerfile')
  await kind.build(described(place, ['fromTemplate', 'mcp-gateway'], ['addMcpServer', 'exa']), 'js-mcp')
  const container = described(
    place,
    ['fromTemplate', 'devcontainer'],
    ['betaDevContainerPrebuild', '/w'],
    ['betaSetDevContainerStart', '/w']
  )
  await kind.build(container, 'js-dev')
  await inside('js-dockerfile', async (look) => {
    works('Template.fromDockerfile', (await look('cat /by')) === 'dockerfile\n')
    works('Template.setReadyCmd', (await look('ls ~/asked')).includes('asked'))
  })
  await inside('js-mcp', async (look) => {
    works('Template.addMcpServer', (await look('cat ~/called')).includes('mcp-gateway pull exa'))
  })
  await inside('js-dev', async (look) => {
    const called = await look('cat ~/called')
    works('Template.betaDevContainerPrebuild', called.includes('devcontainer build --workspace-folder /w'))
    works('Template.betaSetDevContainerStart', called.includes('sudo devcontainer up'))
  })
}

async function names() {
  const made = async (name) => {
    try {
      return await (await Sandbox.create(name)).kill()
    } catch {
      return false
    }
  }
  for (const name of ['exists', 'aliasExists']) {
    const there = (await kind[name]('js-steps')) && !(await kind[name]('no-such-name'))
    works(`Template.static.${name}`, there && (await made('js-steps')) && !(await made('no-such-name')))
  }
  await kind.assignTags('js-steps', ['v1'])
  works('Template.static.assignTags', await made('js-steps:v1'))
  const tags = (await kind.getTags('js-steps')).map((one) => one.tag).sort()
  works('Template.static.getTags', tags.join() === 'default,v1')
  await kind.removeTags('js-steps', 'v1')
  works('Template.static.removeTags', !(await made('js-steps:v1')))
  for (const name of ['js-steps', 'js-started', 'mcp-gateway', 'devcontainer', 'js-dockerfile', 'js-mcp', 'js-dev']) {
    if (!(await Sandbox.deleteSnapshot(name))) throw new Error(`${name} is not there`)
  }
}

export async function templates() {
  for (const [name, given] of Object.entries(IMAGES)) {
    await refused(`Template.${name}`, () => Template.build(Template()[name](...given), 'x'))
  }
  const place = await mkdtemp(join(tmpdir(), 'template-'))
  try {
    await everyStep(place)
    await starts(place)
    await names()
  } finally {
    await rm(place, { recursive: true })
  }
}
