# The journal survives a boot and stays small: it shares its disk with the work.
{
  environment.etc."systemd/journald.conf.d/nixvm.conf".text = ''
    [Journal]
    Storage=persistent
    SystemMaxUse=64M
    RuntimeMaxUse=16M
  '';
}
