package sshconfig

// care is what keeps a line of the user's `Host *` from changing what an entry of
// ours means.
type care int

const (
	// settled: our block sets it, and ssh takes the first value. `ssh -G` must print
	// what we set.
	settled care = iota + 1
	// opens: values add up, and one is an open door between the host and the guest.
	// A new machine is refused unless Options.AcceptForwards says otherwise.
	opens
	// told: no entry can switch it off, or not for every ssh. `ssh -G` shows it, and
	// the user is told what reaches the guest.
	told
	// harmless: with any value, the guest is reached the same way, learns
	// nothing, and gets nothing.
	harmless
)

// keyword is how one keyword of ssh_config(5) is taken care of.
type keyword struct {
	care care
	why  string
}

// keywords are those of ssh_config(5) of every OpenSSH from 9.2 to 10.6, in lower
// case. A test holds the table against the manual page and against what `ssh -G`
// prints, of the ssh that is installed and of the newest.
var keywords = map[string]keyword{
	// Which lines of a configuration count.
	"host":          {harmless, "what it selects is seen by ssh -G"},
	"match":         {harmless, "what it selects is seen by ssh -G"},
	"include":       {harmless, "what it includes is seen by ssh -G"},
	"tag":           {harmless, "what a Match tagged adds is seen by ssh -G"},
	"ignoreunknown": {harmless, "our keywords are none that ssh does not know; writing it would end the user's own"},

	// Where the connection leads, as whom.
	"hostname":                    {settled, "the VM"},
	"port":                        {settled, "the VM"},
	"user":                        {settled, "the account of the entry"},
	"proxycommand":                {settled, "the VM"},
	"proxyjump":                   {harmless, "ProxyCommand comes first, and excludes it"},
	"proxyusefdpass":              {settled, "the proxy passes bytes, not a descriptor"},
	"addressfamily":               {settled, "an endpoint may be of either family"},
	"bindaddress":                 {harmless, "a proxy is not bound; elsewhere the connection fails and says so"},
	"bindinterface":               {harmless, "a proxy is not bound; elsewhere the connection fails and says so"},
	"connecttimeout":              {settled, "it covers the start of a VM"},
	"connectionattempts":          {harmless, "one more attempt at the same VM"},
	"canonicalizehostname":        {settled, "no other name than the alias"},
	"canonicaldomains":            {harmless, "CanonicalizeHostname is no"},
	"canonicalizefallbacklocal":   {harmless, "CanonicalizeHostname is no"},
	"canonicalizemaxdots":         {harmless, "CanonicalizeHostname is no"},
	"canonicalizepermittedcnames": {harmless, "CanonicalizeHostname is no"},
	"tcpkeepalive":                {harmless, "ServerAliveInterval finds a dead connection"},
	"serveraliveinterval":         {settled, "a dead connection must end"},
	"serveralivecountmax":         {settled, "a dead connection must end"},
	"ipqos":                       {harmless, "marks packets"},
	"refuseconnection":            {harmless, "ssh -G fails with its text, and so does every connection"},

	// Whether it is the right guest.
	"hostkeyalias":                     {settled, "names the pinned key"},
	"userknownhostsfile":               {settled, "has the pinned key"},
	"globalknownhostsfile":             {settled, "would have other keys"},
	"knownhostscommand":                {settled, "would have other keys"},
	"stricthostkeychecking":            {settled, "only the pinned key"},
	"hostkeyalgorithms":                {settled, "only the pinned key"},
	"nohostauthenticationforlocalhost": {settled, "a forwarded port is on the loopback"},
	"verifyhostkeydns":                 {settled, "only the pinned key"},
	"checkhostip":                      {settled, "the address may change"},
	"updatehostkeys":                   {settled, "the guest must not add keys"},
	"revokedhostkeys":                  {settled, "the pinned key is ours"},
	"casignaturealgorithms":            {harmless, "the known hosts of the entry have no authority"},
	"hashknownhosts":                   {harmless, "ssh adds no known host: StrictHostKeyChecking is yes"},
	"visualhostkey":                    {harmless, "prints"},
	"fingerprinthash":                  {harmless, "prints"},
	"warnweakcrypto":                   {harmless, "prints"},
	"requiredrsasize":                  {harmless, "no RSA key is accepted on either side"},
	"gssapikeyexchange":                {told, "a key exchange by Kerberos does not check the pinned key"},
	"gssapikexalgorithms":              {harmless, "counts with GSSAPIKeyExchange"},
	"gssapiserveridentity":             {harmless, "counts with GSSAPIKeyExchange"},
	"gssapitrustdns":                   {harmless, "counts with GSSAPIKeyExchange"},
	"gssapirenewalforcesrekey":         {harmless, "counts with GSSAPIKeyExchange"},

	// What the guest learns of the user, and may ask for.
	"preferredauthentications":     {settled, "nothing but a public key"},
	"pubkeyauthentication":         {settled, "nixvm's key must be offered"},
	"pubkeyacceptedalgorithms":     {settled, "nixvm's key must be offered, and no key of another kind"},
	"identityfile":                 {told, "the public half is offered to the guest when it refuses nixvm's"},
	"certificatefile":              {told, "it is offered to the guest, with the names in it"},
	"identitiesonly":               {settled, "no key of an agent"},
	"identityagent":                {settled, "one that never answers would hang ssh"},
	"pkcs11provider":               {settled, "no key of a token"},
	"securitykeyprovider":          {harmless, "PubkeyAcceptedAlgorithms has no security key"},
	"addkeystoagent":               {settled, "nixvm's key stays where it is"},
	"passwordauthentication":       {settled, "a guest must not ask for a password"},
	"kbdinteractiveauthentication": {settled, "a guest must not ask for a password"},
	"kbdinteractivedevices":        {harmless, "KbdInteractiveAuthentication is no"},
	"numberofpasswordprompts":      {harmless, "there are none"},
	"batchmode":                    {harmless, "there are no questions to suppress"},
	"hostbasedauthentication":      {settled, "a guest must not learn the host's key"},
	"hostbasedacceptedalgorithms":  {harmless, "HostbasedAuthentication is no"},
	"enablesshkeysign":             {harmless, "HostbasedAuthentication is no"},
	// Not settled by its own line: an ssh without GSSAPI warns of it at each start.
	"gssapiauthentication":      {harmless, "PreferredAuthentications has no GSSAPI"},
	"gssapiclientidentity":      {harmless, "PreferredAuthentications has no GSSAPI"},
	"gssapidelegatecredentials": {harmless, "PreferredAuthentications has no GSSAPI"},
	"sendenv":                   {told, "the variables reach the guest"},
	"setenv":                    {settled, "the variables would reach the guest"},
	"versionaddendum":           {told, "the text reaches the guest"},

	// What a connection opens besides a session.
	"remoteforward":         {opens, "the guest reaches the host there"},
	"localforward":          {opens, "programs of the host reach the guest there"},
	"dynamicforward":        {opens, "programs of the host reach the guest's network there"},
	"clearallforwardings":   {settled, "the machine's own forwards must stay"},
	"exitonforwardfailure":  {settled, "a second connection cannot have them too"},
	"gatewayports":          {settled, "forwards of the user's must not be open to the network"},
	"permitremoteopen":      {harmless, "limits a SOCKS forward, which nixvm never makes"},
	"streamlocalbindmask":   {harmless, "about sockets on the host that the user asks for"},
	"streamlocalbindunlink": {harmless, "about sockets on the host that the user asks for"},
	"forwardagent":          {settled, "the guest must not use the user's keys"},
	"forwardx11":            {settled, "the guest must not have the screen"},
	"forwardx11timeout":     {harmless, "ForwardX11 is no"},
	"forwardx11trusted":     {harmless, "ForwardX11 is no"},
	"xauthlocation":         {harmless, "ForwardX11 is no"},
	"tunnel":                {settled, "no network device"},
	"tunneldevice":          {harmless, "Tunnel is no"},

	// What becomes of a session.
	"controlmaster":           {settled, "connections are shared"},
	"controlpath":             {settled, "nixvm must find the shared connection, and no other account"},
	"controlpersist":          {settled, "the forwards of the machine must stay"},
	"remotecommand":           {settled, "would break every program that runs ssh with a command"},
	"requesttty":              {settled, "a terminal breaks sftp, rsync and git"},
	"sessiontype":             {settled, "would break every program that runs ssh with a command"},
	"stdinnull":               {settled, "would break every program that writes to ssh"},
	"forkafterauthentication": {settled, "would break every program that waits for ssh"},
	"permitlocalcommand":      {settled, "nothing runs on the host"},
	"localcommand":            {harmless, "PermitLocalCommand is no"},
	"enableescapecommandline": {harmless, "the user's own keyboard"},
	"escapechar":              {harmless, "the user's own keyboard"},
	"channeltimeout":          {harmless, "ends what the user wants ended"},
	"obscurekeystroketiming":  {harmless, "delays keys"},
	"loglevel":                {settled, "the second connection's warnings"},
	"logverbose":              {harmless, "prints"},
	"syslogfacility":          {harmless, "where ssh logs"},
	"compression":             {harmless, "changes no meaning"},
	"rekeylimit":              {harmless, "changes no meaning"},
	"ciphers":                 {harmless, "the user's choice; without a common one ssh says so"},
	"macs":                    {harmless, "the user's choice; without a common one ssh says so"},
	"kexalgorithms":           {harmless, "the user's choice; without a common one ssh says so"},
}
