# Prints, as JSON, what Vagrant makes of the Vagrantfile for each provider and machine, for lab_test.go. Nothing is started, so
# neither a hypervisor nor a Docker engine has to run.
require 'vagrant'
require 'json'
require 'tmpdir'

Dir.mktmpdir do |folder|
  env = Vagrant::Environment.new(cwd: __dir__, local_data_path: folder)
  Vagrant.plugin('2').manager.providers.each { |_, (provider, _)| provider.define_singleton_method(:usable?) { |*| true } }
  all = env.machine_names.product(%i[docker libvirt]).map do |name, provider|
    config = env.vagrantfile.machine_config(name, provider, nil)[:config]
    own = config.vm.get_provider_config(provider)
    network = config.vm.networks.find { |kind, _| kind == :private_network }.last
    {
      name: name, provider: provider, hostname: config.vm.hostname, box: config.vm.box, address: network[:ip], mask: network[:netmask],
      container: provider == :docker ? own.name : '', image: provider == :docker ? own.image : '',
      arguments: provider == :docker ? own.create_args + own.volumes.flat_map { |volume| ['-v', volume] } : [],
      memory: provider == :libvirt ? own.memory : 0, cpus: provider == :libvirt ? own.cpus : 0,
      steps: config.vm.provisioners.map { |step| { name: step.name, script: step.config.inline, settings: step.config.env } }
    }
  end
  puts JSON.generate(all)
end
