# The machine's own certificate authorities (ca-cert.pem of its identity) are trusted
# beside the usual ones. Authorities of an image: security.pki.certificateFiles.
{ config, ... }:
let
  file = config.nixvm.identity."ca-cert.pem";
in
{
  systemd.services.nixvm-ca-cert = {
    description = "Trust the certificates of the machine";
    wantedBy = [ "sysinit.target" ];
    before = [
      "sysinit.target"
      "shutdown.target"
    ];
    after = [ "local-fs.target" ];
    conflicts = [ "shutdown.target" ];
    unitConfig = {
      DefaultDependencies = false;
      ConditionFileNotEmpty = file;
    };
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${config.nixvm.guest}/ca-cert";
    };
  };
  # Node, and what is made of it, looks at no bundle of the system.
  environment.extraInit = ''
    if [ -s ${file} ]; then export NODE_EXTRA_CA_CERTS=${file}; fi
  '';
}
