# Tab for qubes-dom0-pci in fish. The program itself says what can stand at the cursor; nothing of its answer is evaluated.
function __qubes_dom0_pci_complete
    set -l typed (commandline -opc)
    qubes-dom0-pci complete -- $typed[2..] (commandline -ct) 2>/dev/null
end
complete -c qubes-dom0-pci -f -a '(__qubes_dom0_pci_complete)'
complete -c qubes-dom0-pci -l sysroot -r -F
complete -c qubes-dom0-pci -l journal -r -F
complete -c qubes-dom0-pci -l libvirt -r -F
complete -c qubes-dom0-pci -l backups -r -F
complete -c qubes-dom0-pci -l journald -r -F
complete -c qubes-dom0-pci -l xen-console -r -F
